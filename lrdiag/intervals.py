"""Confidence intervals of counted shares."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

_Z = NormalDist().inv_cdf(0.975)


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).

    Example:
        >>> low, high = wilson(8, 10)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)

    Args:
        hits: Number of successes.
        trials: Number of trials, 1 or more.

    Returns:
        Lower and upper end, between 0 and 1.
    """
    share, inverse = hits / trials, _Z**2 / trials
    middle = (share + inverse / 2) / (1 + inverse)
    reach = _Z * sqrt(share * (1 - share) / trials + inverse / (4 * trials)) / (1 + inverse)
    return max(0.0, middle - reach), min(1.0, middle + reach)
