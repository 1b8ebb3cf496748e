"""What is read off a range test: exact where mathematics is, coarse where taste is."""

from __future__ import annotations

import numpy as np
import pytest

from lrdiag.errors import NoSuggestion
from lrdiag.rate.suggest import smooth_without_lag, with_suggestion
from lrdiag.records import RangeTest

RATES = np.geomspace(1e-6, 10, 120)


def measured(losses: np.ndarray, rates: np.ndarray = RATES) -> RangeTest:
    return RangeTest(rates[: len(losses)].tolist(), losses.tolist(), losses.tolist(), "the range was swept to its end")


def descent(centre: float, rates: np.ndarray = RATES) -> np.ndarray:
    """Losses that fall from 2.3 to 0.3, steepest at `centre` over the logarithm of the rate, then diverge."""
    return 0.3 + 2 / (1 + (rates / centre) ** 1.5) + (rates / (300 * centre)) ** 3


@pytest.mark.parametrize("slope", [0.0, -3.5, 1e6])
@pytest.mark.parametrize("bandwidth", [0.05, 0.15, 1.0])
def test_smoothing_leaves_a_straight_line_as_it_is(slope: float, bandwidth: float) -> None:
    """Also at the edges, also between points of uneven distance."""
    positions = np.sort(np.random.default_rng(0).uniform(-6, 1, size=300))
    smooth, slopes = smooth_without_lag(positions, 2.0 + slope * positions, bandwidth)
    np.testing.assert_allclose(smooth, 2.0 + slope * positions, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(slopes, slope, rtol=1e-6, atol=1e-6)


def test_smoothing_is_linear_in_the_values_and_blind_to_direction() -> None:
    generator = np.random.default_rng(1)
    positions = np.linspace(0, 3, 60)
    first, second = generator.normal(size=(2, 60))
    separate = 2 * smooth_without_lag(positions, first)[0] - 3 * smooth_without_lag(positions, second)[0]
    np.testing.assert_allclose(smooth_without_lag(positions, 2 * first - 3 * second)[0], separate, atol=1e-9)
    forward, slope = smooth_without_lag(positions, first)
    backward, reversed_slope = smooth_without_lag(positions, first[::-1])
    np.testing.assert_allclose(backward[::-1], forward, atol=1e-9)
    np.testing.assert_allclose(reversed_slope[::-1], -slope, atol=1e-9)


def test_a_wider_kernel_smooths_more() -> None:
    positions, noise = np.linspace(0, 3, 60), np.random.default_rng(2).normal(size=60)
    narrow, wide = (smooth_without_lag(positions, noise, bandwidth)[0].std() for bandwidth in (0.05, 0.5))
    assert wide < narrow / 2


@pytest.mark.parametrize("centre", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_steepest_point_of_a_known_curve_is_found(centre: float, noise: float) -> None:
    """Within a third of a decade, where the customary moving average is three quarters off."""
    losses = descent(centre) + np.random.default_rng(3).normal(scale=noise, size=len(RATES))
    read = with_suggestion(measured(losses))
    assert read.base_lr < read.suggestion < read.max_lr
    assert abs(np.log10(read.suggestion / centre)) < 0.35
    assert centre / 30 < read.base_lr < centre < read.max_lr < centre * 300


def test_reading_keeps_what_was_measured() -> None:
    test = measured(descent(1e-3))
    read = with_suggestion(test)
    assert (read.learning_rates, read.losses, read.stop_reason) == (test.learning_rates, test.losses, test.stop_reason)
    assert len(read.trend) == len(test.losses)
    assert {read.base_lr, read.suggestion, read.max_lr} <= set(test.learning_rates)


@pytest.mark.parametrize(
    "losses",
    [
        pytest.param(np.array([]), id="nothing"),
        pytest.param(descent(1e-4)[:10], id="few-points"),
        pytest.param(np.full(120, 2.3), id="flat"),
        pytest.param(2.3 + np.linspace(0, 5, 120) ** 2, id="only-rising"),
        pytest.param(2.3 + np.random.default_rng(4).normal(scale=0.3, size=120), id="only-noise"),
    ],
)
def test_where_nothing_descends_nothing_is_suggested(losses: np.ndarray) -> None:
    with pytest.raises(NoSuggestion, match="Received"):
        with_suggestion(measured(losses))


@pytest.mark.parametrize("rebound", [0.5, 0.95, 1.0])
def test_a_loss_that_descends_twice_gives_ordered_rates_or_none(rebound: float) -> None:
    """From 2 nearly to 0, up again to `rebound` of the height, and down to 0, staying a while at each."""
    corners = [-6, -5, -4.5, -3.5, -3, -2, -1.5, 1]
    losses = np.interp(np.log10(RATES), corners, [2, 2, 0.02, 0.02, 2 * rebound, 2 * rebound, 0, 0])
    try:
        read = with_suggestion(measured(losses))
    except NoSuggestion:
        return
    assert read.base_lr < read.max_lr
    assert read.base_lr <= read.suggestion <= read.max_lr
