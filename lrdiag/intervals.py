"""Confidence intervals and tests of counted shares."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log, log1p, sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np

Conclusion = Literal["better", "worse", "no detectable difference"]
SIGNIFICANCE = 0.05
"""A p-value below this is significant."""
Z = NormalDist().inv_cdf(1 - SIGNIFICANCE / 2)
"""Standard normal quantile of a 95 % interval: 1.96."""
_STUDENT = (inf, 12.706, 4.303, 3.182, 2.776, 2.571)  # the same of Student's distribution with 0 to 5 degrees


def wilson(hits: float, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).

    Example:
        >>> low, high = wilson(8, 10)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)

    Args:
        hits: Number of successes, or a mean of shares multiplied by `trials`.
        trials: Number of trials, 1 or more.

    Returns:
        Lower and upper end, between 0 and 1.
    """
    share, inverse = hits / trials, Z**2 / trials
    middle = (share + inverse / 2) / (1 + inverse)
    reach = Z * sqrt(share * (1 - share) / trials + inverse / (4 * trials)) / (1 + inverse)
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


def auc_interval(auc: float, positives: int, negatives: int) -> tuple[float, float]:
    """95 % interval of an area under the ROC curve: those areas that are not further away than chance explains.

    It has a width also if the area is 1.

    Source: Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2"
    (2006), method 5.

    Example:
        >>> [round(end, 3) for end in auc_interval(1.0, 20, 30)]
        [0.916, 1.0]

    Args:
        auc: The area.
        positives: Number of images of one class, 1 or more.
        negatives: Number of images of the other class, 1 or more.

    Returns:
        Lower and upper end, between 0 and 1.
    """
    larger = (positives + negatives) / 2 - 1

    def is_consistent(area: float) -> bool:
        spread = 1 + larger * (1 - area) / (2 - area) + larger * area / (1 + area)
        return (auc - area) ** 2 <= Z**2 * area * (1 - area) * spread / (positives * negatives)

    return _last_consistent(auc, 0.0, is_consistent), _last_consistent(auc, 1.0, is_consistent)


def _last_consistent(inside: float, outside: float, is_consistent: Callable[[float], bool]) -> float:
    """Bisects between a value inside of an interval and one at or beyond its end."""
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if is_consistent(middle) else (inside, middle)
    return min(1.0, max(0.0, inside))


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean, from Student's distribution.

    Example:
        >>> [round(end, 3) for end in mean_interval(np.array([1.0, 2.0, 3.0]))]
        [-0.484, 4.484]

    Args:
        values: Independent values, 2 or more.
    """
    reach = _student(len(values) - 1) * float(values.std(ddof=1)) / sqrt(len(values))
    return float(values.mean()) - reach, float(values.mean()) + reach


def _student(degrees: int) -> float:
    """The quantile of a 95 % interval in Student's distribution.

    Source: Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 26.7.5, the first three terms. They are
    exact to 0.6 % from 6 degrees on.
    """
    if degrees < len(_STUDENT):
        return _STUDENT[degrees]
    return Z + (Z**3 + Z) / (4 * degrees) + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * degrees**2)


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
    probabilities = _log_probabilities(min(broken, fixed), broken + fixed, 0.5)
    probabilities[-1] -= log(2)
    return min(1.0, 2 * exp(float(np.logaddexp.reduce(probabilities))))


def at_most(hits: int, trials: int, share: float) -> float:
    """Returns the probability of at most `hits` successes if each trial succeeds with probability `share`.

    Example:
        >>> round(at_most(1, 4, 0.5), 4)
        0.3125

    Args:
        hits: Number of successes.
        trials: Number of trials.
        share: Probability of success, between 0 and 1.
    """
    if hits >= trials or share in (0.0, 1.0):
        return float(hits >= share * trials)
    return min(1.0, exp(float(np.logaddexp.reduce(_log_probabilities(hits, trials, share)))))


def _log_probabilities(hits: int, trials: int, share: float) -> np.ndarray:
    """Logarithms of the binomial probabilities of 0 to `hits` successes."""
    numbers = np.arange(hits + 1)
    log_choices = np.concatenate([[0.0], np.cumsum(np.log((trials - numbers[1:] + 1) / numbers[1:]))])
    return np.asarray(log_choices + numbers * log(share) + (trials - numbers) * log1p(-share))


def conclude(gained: float, p_value: float) -> Conclusion:
    """Concludes from the sign of a difference and the p-value of McNemar's test."""
    if p_value >= SIGNIFICANCE or not gained:
        return "no detectable difference"
    return "better" if gained > 0 else "worse"


def consistent(interval: tuple[float, float], conclusion: Conclusion) -> tuple[float, float]:
    """Returns the interval of a difference. Its nearer end is moved to 0 if it disagrees with the conclusion."""
    low, high = interval
    if conclusion == "better":
        return max(low, 0.0), high
    if conclusion == "worse":
        return low, min(high, 0.0)
    return min(low, 0.0), max(high, 0.0)
