"""Reads three learning rates from the rates and losses of a range test.

Range tests are usually read from a causal moving average, which lags and moves the steepest point to rates up to ten
times too high (`lrdiag.rate.other_tools` has those rules). Here the losses are smoothed without lag over the logarithm
of the rate, within the valley only, and as strongly as their noise requires.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lrdiag.errors import NoSuggestion
from lrdiag.vocabulary import CYCLE_RATIO

MIN_POINTS = 20
IN_VALLEY = 0.6  # share of the descent below which the loss has entered the valley
OUT_OF_VALLEY = 0.4  # share of the descent above which it has left the valley again
OUTLIER = 4.0  # losses are clipped at this many standard deviations from the running median
CELLS = 150  # if there are more losses, they are averaged in blocks first
BANDWIDTHS = np.geomspace(0.05, 0.8, 9)  # decades: standard deviation of the smoother's Gaussian kernel
WIDER = 4  # steps in `BANDWIDTHS` by which that of the slope may exceed that of the losses: a factor of 4
NEIGHBOURS = 3  # the kernel reaches at least this many points
GRID = 401  # number of points of the smooth curve
ONSET = 0.1  # share of the descent that is complete at its onset
REACH, ADAPTIVE_REACH = 2.5, 2.0  # the most decades between onset and `max_lr`
CYCLE = float(np.log10(CYCLE_RATIO))  # decades between `base_lr` and `max_lr`, unless the onset is closer
OCTAVE = float(np.log10(2))  # decades from the lowest loss up to `max_lr`, and at least from there up to divergence
LEARNT = 0.2  # below this share of the plateau, little is left to learn
CREST = 0.75  # share of the steepest slope that counts as steepest
STANDARD_ERRORS = 5.0  # a descent of fewer is noise


@dataclass(frozen=True)
class Reading:
    """The rates read from a range test.

    Attributes:
        trend: The smoothed loss of each step; after the valley the running median.
        onset: The rate at which 10 % of the descent are complete. It limits `max_lr`.
        base_lr: Lower boundary of a cycle: a tenth of `max_lr`, or the onset if that is higher.
        suggestion: A constant rate: the middle of the steepest stretch of the descent.
        max_lr: Upper boundary of a cycle: twice the rate of the lowest loss, at most half the rate where it diverges.
    """

    trend: np.ndarray
    onset: float
    base_lr: float
    suggestion: float
    max_lr: float


def read(learning_rates: ArrayLike, losses: ArrayLike, *, adaptive: bool = False, diverged: bool = False) -> Reading:
    """Reads the boundaries of a cycle and a constant rate from a range test.

    1. A running median finds the valley, from the first step to where the loss has climbed out again. Only the valley
       is read. A loss far from the running median is clipped.
    2. Local quadratic regression with a Gaussian kernel (Fan and Gijbels, "Local Polynomial Modelling and Its
       Applications", 1996) smooths it over the logarithm of the rate. The bandwidth is the one that best predicts each
       loss from the others (leave-one-out cross-validation). The slope is more sensitive to noise. It uses the widest
       bandwidth, up to four times that of the losses, whose prediction error is within one standard error (the rule of
       Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3).
    3. The descent runs from the median of the plateau before it to the lowest point. Its onset is where 10 % of it are
       complete. The suggestion is the middle of the stretch around the steepest point whose slope is at least three
       quarters of the steepest. On noisy curves it varies less than the steepest point.
    4. `max_lr` is twice the rate of the lowest loss, because a cycle is at its peak only briefly. It is at most half of
       the rate at which the loss leaves the valley, and at most 2.5 decades above the onset, or 2 with an adaptive
       optimizer, which keeps the loss low at rates far above those that train well. It is at least the suggestion.
       Without an adaptive optimizer the updates shrink with the gradient: once the loss is below a fifth of the
       plateau, no rate is too high, so the lowest loss is searched only up to there.
    5. `base_lr` is a tenth of `max_lr`, as Smith recommends for a single cycle ("A disciplined approach to neural
       network hyper-parameters: Part 1", 2018), or the onset if that is higher. The onset alone would be a hundred
       times below the peak: at both ends of a short training run, updates would hardly change the weights.
    6. A descent of less than five standard errors of the smooth curve is not a descent.

    Example:
        >>> rates = np.geomspace(1e-5, 10, 100)
        >>> reading = read(rates, 2 / (1 + (rates / 1e-2) ** 1.5) + (rates / 2) ** 2)
        >>> round(reading.base_lr, 4), round(reading.suggestion, 4), round(reading.max_lr, 4)
        (0.0052, 0.01, 0.0518)

    Args:
        learning_rates: Array or list of shape `(n,)`, ascending, with any spacing. Steps with rate 0 are ignored.
        losses: Array or list of shape `(n,)`: the loss of each step's batch alone, not smoothed. Losses from the first
            NaN or infinite one on are ignored.
        adaptive: Whether the optimizer scales its updates by past gradients, as Adam does.
        diverged: Whether the sweep was stopped because the loss diverged.

    Raises:
        NoSuggestion: If the sweep is too short or has no descent.
    """
    rates, values = np.asarray(learning_rates, np.float64), np.asarray(losses, np.float64)
    usable = np.flatnonzero((rates > 0) & np.logical_and.accumulate(np.isfinite(values)))
    if len(usable) < MIN_POINTS:
        raise NoSuggestion(
            f"A range test needs at least {MIN_POINTS} steps with a finite loss. Use more iterations, or start at a "
            f"lower rate if the loss diverged. Received: {len(usable)} such steps"
        )
    diverged = diverged or not np.isfinite(values).all()
    positions, values = np.log10(rates[usable]), values[usable]
    medians = running_median(values, max(5, len(values) // 20))
    end = _end_of_valley(values, medians)
    if end < MIN_POINTS // 2:
        raise _no_descent(values, medians)
    grid, smooth, slope, error = _smooth(positions[:end], values[:end], medians[:end])

    bottom = int(smooth.argmin())
    start = _last_on_plateau(smooth[: bottom + 1])
    for _ in range(3):  # the plateau is before the start, and the start is where the loss leaves the plateau
        plateau = float(np.median(smooth[: start + 1]))
        depth = plateau - smooth[bottom]
        if depth <= STANDARD_ERRORS * np.hypot(error[start], error[bottom]):
            raise _no_descent(values, medians)
        passed = (plateau - smooth) / depth
        start = int(np.flatnonzero(passed[:bottom] <= ONSET)[-1])
    steepest = start + int(slope[start : bottom + 1].argmin())
    onset = float(np.interp(ONSET, passed[start : start + 2], grid[start : start + 2]))
    middle = float(np.clip(_middle_of_crest(grid, slope, steepest), onset, grid[bottom]))
    reach = max(middle, onset + (ADAPTIVE_REACH if adaptive else REACH))
    searched = grid <= reach
    if not adaptive and smooth[bottom] >= -error[bottom]:  # a negative loss can fall further
        searched &= np.append(True, np.minimum.accumulate(smooth)[:-1] > LEARNT * plateau)
    lowest = float(grid[searched][smooth[searched].argmin()])
    top = max(middle, min(lowest + OCTAVE, _half_of_what_diverges(positions, end, diverged), reach))
    base = max(onset, top - CYCLE)

    trend = np.append(np.interp(positions[:end], grid, smooth), medians[end:])
    return Reading(np.interp(np.arange(len(rates)), usable, trend), 10**onset, 10**base, 10**middle, 10**top)


def running_median(values: np.ndarray, width: int) -> np.ndarray:
    """Returns the median of the `width` values around each value. An even width is increased by one.

    Values are mirrored at the edges.

    Example:
        >>> running_median(np.array([9.0, 2.0, 3.0, 4.0, 90.0, 6.0]), 3)
        array([ 2.,  3.,  3.,  4.,  6., 90.])
    """
    half = width // 2
    mirrored = np.pad(values, half, mode="reflect")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(mirrored, 2 * half + 1), axis=1))


def local_quadratic(
    positions: np.ndarray, values: np.ndarray, at: np.ndarray, bandwidth: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooths by local quadratic regression with a Gaussian kernel. It has no lag and is exact for parabolas.

    Args:
        positions: Ascending float array of shape `(n,)`.
        values: Float array of shape `(n,)`.
        at: Float array of shape `(m,)`: the positions to evaluate.
        bandwidth: Standard deviation of the kernel, in the unit of `positions`. It is wider if points are far apart.

    Returns:
        The smoothed values, their slopes and their leverages, each of shape `(m,)`. The leverage is the weight of a
        value measured at the same position. The variance of a value times the leverage bounds the variance of the
        smoothed value.
    """
    distance = positions[None, :] - at[:, None]
    reach = np.maximum(bandwidth, np.partition(np.abs(distance), NEIGHBOURS, axis=1)[:, NEIGHBOURS])[:, None]
    powers = (distance / reach) ** np.arange(3)[:, None, None]
    weighted = np.exp(-0.5 * powers[1] ** 2) * powers
    moments = np.einsum("imn,jmn->mij", weighted, powers)
    unit = np.broadcast_to([1.0, 0.0, 0.0], (len(at), 3))
    solved = np.linalg.solve(moments, np.stack([(weighted @ values).T, unit], axis=-1))
    return solved[:, 0, 0], solved[:, 1, 0] / reach[:, 0], solved[:, 0, 1]


def _end_of_valley(values: np.ndarray, medians: np.ndarray) -> int:
    """Returns the step at which the loss leaves the first valley that is deep enough, or 0 without such a valley."""
    plateau = np.median(medians[: max(5, len(medians) // 10)])
    depth = plateau - medians.min()
    if depth <= 0:
        return 0
    entered = int(np.argmax(medians <= plateau - IN_VALLEY * depth))
    rim = plateau - OUT_OF_VALLEY * depth
    left = medians[entered:] > rim
    if left.any():
        return entered + int(left.argmax())
    return len(values) - int((values <= rim)[::-1].argmax())  # a rise in the last steps is too short for the median


def _half_of_what_diverges(positions: np.ndarray, end: int, diverged: bool) -> float:
    """Returns half of the rate at which the loss leaves the valley, at step `end`, or the last rate if it doesn't."""
    if end < len(positions):
        return float(positions[end] - OCTAVE)
    if diverged:
        return float(2 * positions[-1] - positions[-2] - OCTAVE)
    return float(positions[-1])


def _last_on_plateau(descent: np.ndarray) -> int:
    """Returns the last point of the first half of the descent that is at or above the median of that half.

    The highest point isn't used: on a noisy plateau it may be the first one.
    """
    highest = int(descent.argmax())
    half = highest + int((descent[highest:] <= (descent.max() + descent.min()) / 2).argmax())
    upper = descent[: half + 1]
    return int(np.flatnonzero(upper >= np.median(upper))[-1])


def _smooth(
    positions: np.ndarray, values: np.ndarray, medians: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns an even grid over `positions`, and on it the smoothed values, their slopes and standard errors."""
    tolerance = OUTLIER * _noise(values)
    values = np.clip(values, medians - tolerance, medians + tolerance)
    cells = -(-len(values) // -(-len(values) // CELLS))
    x, y = (np.array([cell.mean() for cell in np.array_split(array, cells)]) for array in (positions, values))

    def squared_errors(bandwidth: float) -> np.ndarray:
        fitted, _, leverage = local_quadratic(x, y, x, bandwidth)
        return np.asarray(((y - fitted) / np.maximum(1 - leverage, 1e-6)) ** 2)

    errors = np.array([squared_errors(bandwidth) for bandwidth in BANDWIDTHS])
    variances = errors.mean(axis=1)
    best = int(variances.argmin())
    as_good = variances[best : best + WIDER + 1] <= variances[best] + errors[best].std() / np.sqrt(len(x))
    widest = best + int(np.logical_and.accumulate(as_good).sum()) - 1

    grid = np.linspace(positions[0], positions[-1], GRID)
    smooth, _, leverage = local_quadratic(x, y, grid, BANDWIDTHS[best])
    _, slope, _ = local_quadratic(x, y, grid, BANDWIDTHS[widest])
    rounding = 1e-6 * np.abs(values).max()  # losses are float32
    return grid, smooth, slope, np.sqrt(variances[best] * leverage) + rounding


def _noise(values: np.ndarray) -> float:
    """Returns the standard deviation of a value around the trend, from the differences of neighbours."""
    return float(np.median(np.abs(np.diff(values)))) / 0.954


def _middle_of_crest(grid: np.ndarray, slope: np.ndarray, steepest: int) -> float:
    """Returns the middle of the stretch around `steepest` that is nearly as steep."""
    gentle = np.flatnonzero(slope > CREST * slope[steepest])
    after = int(np.searchsorted(gentle, steepest))
    first = gentle[after - 1] + 1 if after else 0
    last = gentle[after] - 1 if after < len(gentle) else len(grid) - 1
    return float(grid[first] + grid[last]) / 2


def _no_descent(values: np.ndarray, medians: np.ndarray) -> NoSuggestion:
    """Returns an error with the reason why there is no descent, and with advice."""
    first = float(np.median(medians[: max(5, len(medians) // 10)]))
    noise = _noise(values)
    risen = medians > first + max(OUTLIER * noise, 1e-6 * abs(first))
    received = f"Received: {len(values)} losses, {first:.3g} at first, noise of {noise:.3g}, "
    if not risen.any():
        return NoSuggestion(
            "The loss stays flat within its noise, so it gives no learning rate. End the sweep at a higher rate, use "
            "more iterations, repeats or larger batches, or check that the model can learn. "
            f"{received}a minimum of {medians.min():.3g}"
        )
    if risen.argmax() < len(values) / 3:
        return NoSuggestion(
            "The loss diverges at once, so it gives no learning rate. Start the sweep at a lower rate. If the sweep is "
            "linear, end it at a lower rate. "
            f"{received}a maximum of {medians.max():.3g}"
        )
    return NoSuggestion(
        "The loss never falls clearly before it rises, so it gives no learning rate. Start from new weights if the "
        "model is already trained. Otherwise use more iterations, repeats or larger batches. "
        f"{received}a maximum of {medians.max():.3g}"
    )
