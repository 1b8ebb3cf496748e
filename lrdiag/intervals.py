"""Confidence intervals and tests of counted shares."""

from __future__ import annotations

from functools import cache
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np

LEVEL = 0.95
SIGNIFICANCE = 1 - LEVEL


@cache
def quantile(level: float = LEVEL) -> float:
    """Standard normal quantile of a two-sided interval: 1.96 for 95 %."""
    return NormalDist().inv_cdf((1 + level) / 2)


def adjusted_level(comparisons: int) -> float:
    """Level of each of several intervals that hold together with 95 % confidence (Bonferroni's correction).

    Example:
        >>> adjusted_level(10)
        0.995
    """
    return 1 - SIGNIFICANCE / max(1, comparisons)


def wilson(hits: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).

    Example:
        >>> low, high = wilson(8, 10)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)

    Args:
        hits: Number of successes.
        trials: Number of trials, 1 or more.
        level: Confidence level.

    Returns:
        Lower and upper end, between 0 and 1.
    """
    z = quantile(level)
    share, inverse = hits / trials, z**2 / trials
    middle = (share + inverse / 2) / (1 + inverse)
    reach = z * sqrt(share * (1 - share) / trials + inverse / (4 * trials)) / (1 + inverse)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def newcombe(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """95 % interval of the difference of two shares that were counted on different images.

    Source: Newcombe, "Interval estimation for the difference between independent proportions: comparison of eleven
    methods" (1998), method 10.

    Example:
        >>> [round(end, 4) for end in newcombe((56, 70), (48, 80))]
        [0.0524, 0.3339]

    Args:
        first: Hits and trials of the first share.
        second: Hits and trials of the share that is subtracted.
    """
    (low, high), (other_low, other_high) = wilson(*first), wilson(*second)
    share, other = first[0] / first[1], second[0] / second[1]
    difference = share - other
    return (
        difference - sqrt((share - low) ** 2 + (other_high - other) ** 2),
        difference + sqrt((high - share) ** 2 + (other - other_low) ** 2),
    )


def mcnemar(broken: int, fixed: int) -> float:
    """P-value of McNemar's mid-p test, two-sided.

    The null hypothesis is that an image whose result changed is as likely to be broken as to be fixed. The exact test
    rejects it too rarely; the mid-p test counts only half of the probability of the observed numbers.

    Source: Fagerland, Lydersen and Laake, "The McNemar test for binary matched-pairs data: mid-p and asymptotic are
    better than exact conditional" (2013).

    Example:
        >>> round(mcnemar(broken=1, fixed=4), 5)
        0.21875

    Args:
        broken: Number of images that only the first model classifies correctly.
        fixed: Number of images that only the second model classifies correctly.
    """
    changed, fewer = broken + fixed, min(broken, fixed)
    numbers = np.arange(1, fewer + 1)
    log_choices = np.concatenate([[0.0], np.cumsum(np.log((changed - numbers + 1) / numbers))])
    log_tail = np.logaddexp.reduce(np.append(log_choices[:-1], log_choices[-1] - log(2)))
    return min(1.0, exp(log(2) + float(log_tail) - changed * log(2)))
