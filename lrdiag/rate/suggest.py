"""What a range test says: pure rules over `(rates, losses)`.

The causal moving average that range tests are usually read from lags: it puts the steepest point several times too
far to the right. Here the losses are smoothed without lag, by local linear regression over the logarithm of the rate.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from lrdiag.errors import NoSuggestion
from lrdiag.records import RangeTest

MIN_POINTS = 20
BANDWIDTH = 0.15  # decades: standard deviation of the smoother's Gaussian kernel
DESCENT_STARTS = 0.1  # share of the whole descent that has passed at `base_lr`
NOISE_FACTOR = 3.0  # a descent shallower than this many standard deviations of a single loss is none


def with_suggestion(test: RangeTest) -> RangeTest:
    """Reads the boundaries and the one static rate off a range test.

    As Smith reads the curve by eye: `base_lr` is where the loss starts to descend, `max_lr` where the descent ends, at
    the lowest point, and the suggestion is the steepest point between them.

    Example:
        >>> rates = np.geomspace(1e-5, 10, 100)
        >>> losses = 2 / (1 + (rates / 1e-2) ** 1.5) + (rates / 2) ** 2
        >>> read = with_suggestion(RangeTest(rates.tolist(), losses.tolist(), [], "the range was swept to its end"))
        >>> round(read.base_lr, 4), round(read.suggestion, 4), round(read.max_lr, 4)
        (0.002, 0.0093, 0.231)

    Args:
        test: What `find_lr` measured.

    Raises:
        NoSuggestion: If the sweep is too short or holds no descent.
    """
    if len(test.losses) < MIN_POINTS:
        raise NoSuggestion(
            f"A range test needs {MIN_POINTS} steps or more to be read. Start it at a lower rate, or make it longer. "
            f"Received: {len(test.losses)} steps, because {test.stop_reason}"
        )
    log_rates = np.log10(test.learning_rates)
    losses = np.asarray(test.losses)
    # divergence is orders of magnitude taller than the descent and would bleed into its foot
    capped = np.minimum(losses, losses[: MIN_POINTS // 2].max())
    smooth, slope = smooth_without_lag(log_rates, capped)
    bottom = int(smooth.argmin())
    top = int(smooth[: bottom + 1].argmax())
    depth = smooth[top] - smooth[bottom]
    noise = float(np.median(np.abs(np.diff(capped)))) / 0.954  # of the difference of two normal variables
    rounding = 1e-6 * float(np.abs(capped).max())  # losses are float32
    if depth < max(NOISE_FACTOR * noise, rounding) or bottom - top < 2:
        raise NoSuggestion(
            "The loss never descends clearly, so no learning rate can be read off. Sweep a wider range, start from "
            f"less trained weights, or use larger batches. Received: a descent of {depth:.3g} with noise of {noise:.3g}"
        )
    descent = np.arange(top, bottom + 1)
    fallen = (smooth[top] - smooth[descent]) / depth
    start = int(descent[fallen <= DESCENT_STARTS][-1])
    steepest = start + int(slope[start : bottom + 1].argmin())
    rates = test.learning_rates
    return dataclasses.replace(
        test, trend=smooth.tolist(), base_lr=rates[start], suggestion=rates[steepest], max_lr=rates[bottom]
    )


def smooth_without_lag(
    positions: np.ndarray, values: np.ndarray, bandwidth: float = BANDWIDTH
) -> tuple[np.ndarray, np.ndarray]:
    """Local linear regression with a Gaussian kernel: unbiased on straight lines, at the edges too.

    Args:
        positions: Ascending float array of shape `(n,)`.
        values: Float array of shape `(n,)`.
        bandwidth: Standard deviation of the kernel, in the unit of `positions`.

    Returns:
        The smoothed values and their slopes, each of shape `(n,)`.
    """
    distance = positions[None, :] - positions[:, None]
    weight = np.exp(-0.5 * (distance / bandwidth) ** 2)
    s0, s1, s2 = (np.sum(weight * distance**power, axis=1) for power in range(3))
    t0, t1 = weight @ values, (weight * distance) @ values
    determinant = s0 * s2 - s1**2
    return (s2 * t0 - s1 * t1) / determinant, (s0 * t1 - s1 * t0) / determinant
