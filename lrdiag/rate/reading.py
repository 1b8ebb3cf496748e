"""What a range test says: three learning rates, read off `(rates, losses)`.

The causal moving average that range tests are usually read from lags and puts the steepest point up to a decade too far
to the right (`lrdiag.rate.other_tools` holds those rules). Here the losses are smoothed without lag over the logarithm
of the rate, as far as the valley goes and as strongly as their own noise asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lrdiag.errors import NoSuggestion
from lrdiag.vocabulary import CYCLE_RATIO

MIN_POINTS = 20
IN_VALLEY, OUT_OF_VALLEY = 0.6, 0.4  # shares of the whole descent: entered below the one, left above the other
OUTLIER = 4.0  # standard deviations from the running median beyond which a loss is clipped
CELLS = 150  # more losses than this are averaged in blocks first
BANDWIDTHS = np.geomspace(0.05, 0.8, 9)  # decades: standard deviation of the smoother's Gaussian kernel
WIDER = 4  # bandwidths that the slope may go beyond that of the losses: up to four times as wide
NEIGHBOURS = 3  # the kernel reaches as many points to the side at least, wherever they lie
GRID = 401  # points at which the smooth curve is computed
ONSET = 0.1  # share of the descent that has passed at its onset
REACH, ADAPTIVE_REACH = 2.5, 2.0  # decades above the onset that `max_lr` may lie
CYCLE = float(np.log10(CYCLE_RATIO))  # decades that a cycle spans, unless the onset lies within
OCTAVE = float(np.log10(2))  # what `max_lr` lies above the lowest loss, and at least below what diverges
LEARNT = 0.2  # share of the plateau below which little is left to learn
CREST = 0.75  # what is this steep, in shares of the steepest slope, is the steepest stretch
STANDARD_ERRORS = 5.0  # a descent less deep than this many of them is noise


@dataclass(frozen=True)
class Reading:
    """What is read off one range test.

    Attributes:
        trend: The smoothed losses, as many as there are losses; past the valley their running median.
        onset: Where the descent starts, 10 % of it have passed; `max_lr` is held to a distance from here.
        base_lr: The lower boundary of a cycle: a tenth of `max_lr`, or the onset if that is higher.
        suggestion: The middle of the steepest stretch of the descent: one static rate.
        max_lr: How high a cycle may go: twice the rate of the lowest loss, at most half of what diverges.
    """

    trend: np.ndarray
    onset: float
    base_lr: float
    suggestion: float
    max_lr: float


def read(learning_rates: ArrayLike, losses: ArrayLike, *, adaptive: bool = False, diverged: bool = False) -> Reading:
    """Reads the boundaries of a cycle and one static rate off a range test.

    1. A running median finds the valley, from the first step to where the loss has climbed out again; only this counts,
       and a loss that stands out from its neighbours is clipped.
    2. Local quadratic regression with a Gaussian kernel (Fan and Gijbels, "Local Polynomial Modelling and Its
       Applications", 1996) smooths it over the logarithm of the rate. The bandwidth is the one that predicts each loss
       best from the others (leave-one-out cross-validation). Noise weighs more on the slope, which takes the widest
       bandwidth, up to four times that, whose predictions are as good within a standard error (the rule of Breiman et
       al., "Classification and Regression Trees", 1984, section 3.4.3).
    3. The descent runs from the median of the plateau before it to the lowest point; at its onset 10 % of it have
       passed. The suggestion is the middle of the stretch about the steepest point whose slope is three quarters of the
       steepest or more: on a noisy curve it holds stiller than the point itself.
    4. `max_lr` is twice the rate of the lowest loss, as a cycle stays at its peak for a moment only; but no more than
       half of the rate at which the loss leaves the valley, than 2.5 decades above the onset, or 2 with an adaptive
       optimizer, which keeps the loss low far beyond the rates that train well; and never below the suggestion. Without
       an adaptive optimizer the steps shrink with the gradient: once the loss has fallen below a fifth of what it was,
       no rate is too high any more, so the lowest loss counts as far as there.
    5. `base_lr` is a tenth of it, as Smith advises for a single cycle ("A disciplined approach to neural network
       hyper-parameters: Part 1", 2018), but not below the onset. That alone would be a hundred times below the peak: at
       both ends of a short training, updates that hardly move the weights.
    6. A descent of less than five standard errors of the smooth curve is none.

    Example:
        >>> rates = np.geomspace(1e-5, 10, 100)
        >>> reading = read(rates, 2 / (1 + (rates / 1e-2) ** 1.5) + (rates / 2) ** 2)
        >>> round(reading.base_lr, 4), round(reading.suggestion, 4), round(reading.max_lr, 4)
        (0.0052, 0.01, 0.0518)

    Args:
        learning_rates: Array or list of shape `(n,)`, ascending, in any spacing. Steps at a rate of 0 are passed over.
        losses: Array or list of shape `(n,)`: the loss of each step's batch alone, not smoothed. What follows the first
            that is not finite is passed over.
        adaptive: Whether the optimizer scales its steps by the gradients that it has seen, as Adam does.
        diverged: Whether the sweep was ended because the next loss was out of all bounds.

    Raises:
        NoSuggestion: If the sweep is too short or holds no descent.
    """
    rates, values = np.asarray(learning_rates, np.float64), np.asarray(losses, np.float64)
    usable = np.flatnonzero((rates > 0) & np.logical_and.accumulate(np.isfinite(values)))
    if len(usable) < MIN_POINTS:
        raise NoSuggestion(
            f"A range test needs {MIN_POINTS} steps or more with a finite loss to be read. Take more iterations, or "
            f"start at a lower rate if the loss diverged. Received: {len(usable)} such steps"
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
    for _ in range(3):  # the plateau lies before the start, and the start where the plateau is left
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
    judged = grid <= reach
    if not adaptive and smooth[bottom] >= -error[bottom]:  # else zero is no end
        judged &= np.append(True, np.minimum.accumulate(smooth)[:-1] > LEARNT * plateau)
    lowest = float(grid[judged][smooth[judged].argmin()])
    top = max(middle, min(lowest + OCTAVE, _half_of_what_diverges(positions, end, diverged), reach))
    base = max(onset, top - CYCLE)

    trend = np.append(np.interp(positions[:end], grid, smooth), medians[end:])
    return Reading(np.interp(np.arange(len(rates)), usable, trend), 10**onset, 10**base, 10**middle, 10**top)


def running_median(values: np.ndarray, width: int) -> np.ndarray:
    """The median of `width` values (one more where that is even) around each; at the edges they are mirrored.

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
    """Local quadratic regression with a Gaussian kernel: without lag, and exact on parabolas, at the edges too.

    Args:
        positions: Ascending float array of shape `(n,)`.
        values: Float array of shape `(n,)`.
        at: Float array of shape `(m,)`: where to evaluate.
        bandwidth: Standard deviation of the kernel, in the unit of `positions`; wider where points are far apart.

    Returns:
        The smoothed values, their slopes and their leverages, each of shape `(m,)`. The leverage is the weight that a
        loss measured at this very place has there; times the variance of one value it bounds that of the smoothed one.
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
    """How many steps it takes to climb out of the first valley that is deep enough; 0 where there is none."""
    plateau = np.median(medians[: max(5, len(medians) // 10)])
    depth = plateau - medians.min()
    if depth <= 0:
        return 0
    entered = int(np.argmax(medians <= plateau - IN_VALLEY * depth))
    rim = plateau - OUT_OF_VALLEY * depth
    left = medians[entered:] > rim
    if left.any():
        return entered + int(left.argmax())
    return len(values) - int((values <= rim)[::-1].argmax())  # a wall at the very end is too short for a median


def _half_of_what_diverges(positions: np.ndarray, end: int, diverged: bool) -> float:
    """An octave below where the loss leaves the valley, which is at `end`; the last rate where it never does."""
    if end < len(positions):
        return float(positions[end] - OCTAVE)
    if diverged:
        return float(2 * positions[-1] - positions[-2] - OCTAVE)
    return float(positions[-1])


def _last_on_plateau(descent: np.ndarray) -> int:
    """The last of the points down to half of the descent that lies at their median or above.

    The highest will not do: on a noisy plateau it may be the first of all.
    """
    highest = int(descent.argmax())
    half = highest + int((descent[highest:] <= (descent.max() + descent.min()) / 2).argmax())
    upper = descent[: half + 1]
    return int(np.flatnonzero(upper >= np.median(upper))[-1])


def _smooth(
    positions: np.ndarray, values: np.ndarray, medians: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """An even grid over `positions`, and on it the smoothed values, their slopes and their standard errors."""
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
    """Standard deviation of one value about a slow trend, from the differences of neighbours."""
    return float(np.median(np.abs(np.diff(values)))) / 0.954


def _middle_of_crest(grid: np.ndarray, slope: np.ndarray, steepest: int) -> float:
    """The middle of the stretch about `steepest` that is nearly as steep."""
    gentle = np.flatnonzero(slope > CREST * slope[steepest])
    after = int(np.searchsorted(gentle, steepest))
    first = gentle[after - 1] + 1 if after else 0
    last = gentle[after] - 1 if after < len(gentle) else len(grid) - 1
    return float(grid[first] + grid[last]) / 2


def _no_descent(values: np.ndarray, medians: np.ndarray) -> NoSuggestion:
    """Why there is no descent, and what to change."""
    first = float(np.median(medians[: max(5, len(medians) // 10)]))
    noise = _noise(values)
    risen = medians > first + max(OUTLIER * noise, 1e-6 * abs(first))
    received = f"Received: {len(values)} losses, {first:.3g} at first, noise of {noise:.3g}, "
    if not risen.any():
        return NoSuggestion(
            "The loss stays flat within its noise, so no learning rate can be read off. Sweep to a higher rate, take "
            "more iterations, repeats or larger batches, or check that the network learns at all. "
            f"{received}{medians.min():.3g} at least"
        )
    if risen.argmax() < len(values) / 3:
        return NoSuggestion(
            "The loss diverges at once, so no learning rate can be read off. Start the sweep at a lower rate; where it "
            "climbs in a straight line, end it at a lower one. "
            f"{received}{medians.max():.3g} at most"
        )
    return NoSuggestion(
        "The loss never falls clearly before it rises, so no learning rate can be read off. Start from fresh weights "
        "if the network is trained already; otherwise take more iterations, repeats or larger batches. "
        f"{received}{medians.max():.3g} at most"
    )
