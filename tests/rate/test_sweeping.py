"""The losses of a sweep while it runs: smoothing as in its formula, and the rule that ends it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lrdiag.errors import SettingsError
from lrdiag.rate.curves import LinearSweep
from lrdiag.rate.sweeping import RunningSweep


def run(losses: list[float], iterations: int = 100, smoothing: float = 0.0, factor: float = 4.0) -> RunningSweep:
    """A sweep over losses, to its end or to the first that diverges."""
    sweep = RunningSweep(LinearSweep(0.1, 1.0, iterations), smoothing, factor)
    for loss in losses:
        sweep.add(loss)
        if sweep.has_diverged():
            break
    return sweep


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.98])
def test_the_smoothed_loss_is_a_weighted_mean(smoothing: float) -> None:
    """`sum_j (1 - s) s**(i - j) loss_j / (1 - s**i)`."""
    losses = np.random.default_rng(0).uniform(1, 2, 12)
    smoothed = run(list(losses), smoothing=smoothing).smoothed_losses
    for count in range(1, 13):
        weights = (1 - smoothing) * smoothing ** np.arange(count)[::-1].astype(float)
        assert smoothed[count - 1] == pytest.approx(weights @ losses[:count] / (1 - smoothing**count), rel=1e-12)


@pytest.mark.parametrize(
    ("iterations", "lucky", "ends_at"), [(100, 5, 100), (40, 3, 40), (100, 21, 22), (40, 9, 10), (4, 1, 2)]
)
def test_the_lowest_loss_is_not_looked_for_in_the_first_updates(iterations: int, lucky: int, ends_at: int) -> None:
    """The first twenty, or the first fifth of a shorter sweep, may be low by chance."""
    losses = [0.1] * lucky + [1.0] * (iterations - lucky)
    assert len(run(losses, iterations).losses) == ends_at


def test_the_loss_diverges_above_a_multiple_of_its_lowest_value() -> None:
    assert not run([2.0] * 30 + [7.9]).has_diverged()
    assert run([2.0] * 30 + [8.1]).has_diverged()
    assert run([2.0] * 30 + [3.1], factor=1.5).has_diverged()


@pytest.mark.parametrize(("first", "lowest", "limit"), [(4.0, -1.0, 11.0), (1.0, -5.0, 10.0), (-3.0, -3.0, 6.0)])
def test_a_negative_loss_diverges_at_a_distance(first: float, lowest: float, limit: float) -> None:
    """Three times the larger magnitude of first and lowest loss above the lowest one."""
    settled = [first] * 20 + [lowest] * 5
    assert not run([*settled, limit - 0.1]).has_diverged()
    assert run([*settled, limit + 0.1]).has_diverged()


def test_the_measurements_are_those_of_the_rates() -> None:
    sweep = RunningSweep(LinearSweep(0.1, 0.3, 3), 0.0, 4.0)
    for step in range(3):
        assert sweep.next_rate() == pytest.approx(0.1 * (step + 1))
        sweep.add(2.0 - step, accuracy=0.5, val_loss=3.0)
    assert sweep.is_complete()
    finished = sweep.finished("done", adaptive=True)
    assert finished.learning_rates == pytest.approx([0.1, 0.2, 0.3])
    assert (finished.losses, finished.accuracies, finished.val_losses) == ([2.0, 1.0, 0.0], [0.5] * 3, [3.0] * 3)
    assert (finished.stop_reason, finished.adaptive) == ("done", True)


@pytest.mark.parametrize("smoothing", [1.0, -0.1, math.nan])
def test_a_smoothing_outside_of_its_range_is_refused(smoothing: float) -> None:
    with pytest.raises(SettingsError, match=r"`smoothing` must be in \[0, 1\)"):
        run([], smoothing=smoothing)


@pytest.mark.parametrize("factor", [1.0, math.nan])
def test_a_factor_of_at_most_one_is_refused(factor: float) -> None:
    with pytest.raises(SettingsError, match="`diverge_factor` must be more than 1"):
        run([], factor=factor)
