"""The rules of other tools, for comparison. Each reads raw losses with its own smoothing and trimming.

They are written from the tools' descriptions and tested against the tools' own results. All of them smooth with a
causal moving average, which lags; `lrdiag.rate.reading` is lrdiag's own rule. If the original crashes, or returns a
rate because of a NaN, these raise `NoSuggestion`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from lrdiag.errors import NoSuggestion

SLIDE_INTERVAL = 15
SLIDE_THRESHOLD = 0.005


def valley(learning_rates: ArrayLike, losses: ArrayLike) -> float:
    """`valley` of fastai 2.8.12: halfway down the longest fall.

    Of the smoothed losses, the longest strictly falling subsequence, `m` long, ends first at step `end`. The rate is
    that of step `start + int(third) + int(third / 2)` with `start = end - m` and `third = m / 3`.

    Example:
        >>> rates = np.geomspace(1e-5, 10, 100)
        >>> round(valley(rates, 2 / (1 + (rates / 1e-2) ** 1.5) + (rates / 2) ** 2), 4)
        0.0061

    Args:
        learning_rates: Array or list of shape `(n,)`, ascending.
        losses: Array or list of shape `(n,)`, not smoothed. Losses from the first NaN or infinite one on are ignored.

    Raises:
        NoSuggestion: If too few losses are finite, or none is lower than an earlier one.
    """
    rates, smooth = _as_fastai(learning_rates, losses, at_least=2)
    longest, end = 0, 0
    tails: list[float] = []  # of the falling subsequences of length 1, 2, …: the highest last value, negated
    for step, value in enumerate(smooth):
        length = bisect_left(tails, -value)
        tails[length : length + 1] = [-value]
        if length + 1 > longest:
            longest, end = length + 1, step
    if longest < 2:
        raise NoSuggestion(
            f"`valley` needs a loss that falls. Sweep a wider range. Received: {len(rates)} losses that don't fall"
        )
    third = longest / 3
    return float(rates[max(end - longest + int(third) + int(third / 2), 0)])


def slide(learning_rates: ArrayLike, losses: ArrayLike) -> float:
    """`slide` of fastai 2.8.12: an interval slides down from the right until the slope is the same at both ends.

    With `g` the gradient of the smoothed losses per step, `r` the last step and `l = r - 15`: while
    `|g[r] - g[l]| > 0.005`, store the rate at `l` and decrease both by one. The result is the last stored rate.

    Example:
        >>> rates = np.geomspace(1e-5, 10, 100)
        >>> round(slide(rates, 2 / (1 + (rates / 1e-2) ** 1.5) + (rates / 2) ** 2), 4)
        0.0215

    Args:
        learning_rates: See `valley`.
        losses: See `valley`.

    Raises:
        NoSuggestion: If too few losses are finite.
    """
    rates, smooth = _as_fastai(learning_rates, losses, at_least=SLIDE_INTERVAL + 1)
    gradient = np.gradient(smooth)
    difference = np.abs(gradient[SLIDE_INTERVAL:] - gradient[:-SLIDE_INTERVAL])
    same = np.flatnonzero(difference <= SLIDE_THRESHOLD)
    left = int(same[-1]) + 1 if len(same) else 0
    return float(rates[min(left, len(difference) - 1)])


def minimum(learning_rates: ArrayLike, losses: ArrayLike) -> float:
    """`minimum` of fastai 2.8.12: a tenth of the rate at the lowest smoothed loss.

    Example:
        >>> rates = np.geomspace(1e-5, 10, 100)
        >>> round(minimum(rates, 2 / (1 + (rates / 1e-2) ** 1.5) + (rates / 2) ** 2), 4)
        0.163

    Args:
        learning_rates: See `valley`.
        losses: See `valley`.

    Raises:
        NoSuggestion: If too few losses are finite.
    """
    rates, smooth = _as_fastai(learning_rates, losses, at_least=1)
    return float(rates[smooth.argmin()]) / 10


def steep(learning_rates: ArrayLike, losses: ArrayLike) -> float:
    """`steep` of fastai 2.8.12: where the smoothed loss falls fastest over the logarithm of the rate.

    The slope of step `i` is `(loss[i + 1] - loss[i]) / (log(rate[i + 1]) - log(rate[i]))`. The result is the rate of
    the step with the lowest slope.

    Example:
        >>> rates = np.geomspace(1e-5, 10, 100)
        >>> round(steep(rates, 2 / (1 + (rates / 1e-2) ** 1.5) + (rates / 2) ** 2), 4)
        0.0327

    Args:
        learning_rates: See `valley`.
        losses: See `valley`.

    Raises:
        NoSuggestion: If too few losses are finite.
    """
    rates, smooth = _as_fastai(learning_rates, losses, at_least=2)
    return float(rates[(np.diff(smooth) / np.diff(np.log(rates))).argmin()])


def torch_lr_finder(learning_rates: ArrayLike, losses: ArrayLike) -> float:
    """The suggestion of torch-lr-finder 0.2.2: where the smoothed loss falls fastest per step.

    The losses are smoothed as in that tool's `range_test(smooth_f=0.05)`: `s[i] = 0.05 * loss[i] + 0.95 * s[i - 1]`
    from `s[0] = loss[0]`, without bias correction. The first 10 and the last 5 are left out. The result is the rate at
    the lowest `numpy.gradient`.

    Example:
        >>> rates = np.geomspace(1e-5, 10, 100)
        >>> round(torch_lr_finder(rates, 2 / (1 + (rates / 1e-2) ** 1.5) + (rates / 2) ** 2), 4)
        0.0285

    Args:
        learning_rates: See `valley`.
        losses: See `valley`.

    Raises:
        NoSuggestion: If too few losses are finite.
    """
    smooth: list[float] = []
    for value in _finite(losses):
        smooth.append(0.05 * value + 0.95 * smooth[-1] if smooth else value)
    rates, kept = _trimmed(learning_rates, smooth, first=10, at_least=2)
    return float(rates[np.gradient(kept).argmin()])


RULES: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "fastai-valley": valley,
    "fastai-slide": slide,
    "fastai-minimum": minimum,
    "fastai-steep": steep,
    "torch-lr-finder": torch_lr_finder,
}


def _as_fastai(learning_rates: ArrayLike, losses: ArrayLike, at_least: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns rates and losses as fastai's rules get them: smoothed (bias-corrected, β = 0.98), trimmed, as float32.

    The first tenth and the last five are left out. fastai takes a tenth of the planned iterations. They aren't known
    here, so it is a tenth of the measured losses, which are fewer if a sweep was stopped.
    """
    average, smooth = 0.0, []
    for step, value in enumerate(_finite(losses), start=1):
        average = 0.98 * average + 0.02 * value
        smooth.append(average / (1 - math.pow(0.98, step)))
    rates, kept = _trimmed(learning_rates, smooth, first=np.size(learning_rates) // 10, at_least=at_least)
    return rates.astype(np.float32), kept.astype(np.float32)


def _finite(losses: ArrayLike) -> list[float]:
    """Returns the losses before the first NaN or infinite one."""
    values = np.asarray(losses, np.float64)
    return [float(value) for value in values[np.logical_and.accumulate(np.isfinite(values))]]


def _trimmed(
    learning_rates: ArrayLike, smooth: list[float], first: int, at_least: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns rates and smoothed losses without the `first` steps, the last five, and steps without a loss."""
    rates = np.asarray(learning_rates, np.float64)
    kept = slice(first, max(min(len(rates) - 5, len(smooth)), 0))
    if kept.stop - first < at_least:
        raise NoSuggestion(
            f"This rule leaves out {first} losses at the start and 5 at the end, and needs {at_least} or more between "
            "them. Use more iterations, or start at a lower rate. "
            f"Received: {len(smooth)} finite losses of {len(rates)}"
        )
    return rates[kept], np.array(smooth[kept])
