"""The curves against their closed forms; nothing here needs Keras."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lrdiag.errors import SettingsError
from lrdiag.rate.curves import Curve, ExponentialSweep, InverseTimeDecay, OneCycle, Triangular

VALID: dict[type, dict[str, float]] = {
    Triangular: {"base_lr": 0.1, "max_lr": 0.5, "step_size": 4},
    OneCycle: {"max_lr": 1.0, "total_steps": 100},
    InverseTimeDecay: {"initial_lr": 0.01, "steps_per_epoch": 41},
    ExponentialSweep: {"start_lr": 1e-5, "end_lr": 10.0, "iterations": 100},
}
RATES_AND_LENGTHS = (Triangular, OneCycle, InverseTimeDecay)


@pytest.fixture(params=VALID, ids=lambda curve_class: curve_class.__name__)
def curve(request: pytest.FixtureRequest) -> Curve:
    return request.param(**VALID[request.param])


def test_an_array_of_steps_gives_the_rate_of_each(curve: Curve) -> None:
    steps = np.arange(300).reshape(3, 100)
    rates = curve(steps)
    assert rates.shape == steps.shape
    assert rates.ravel().tolist() == [float(curve(int(step))) for step in steps.ravel()]


def test_a_curve_does_not_change_the_steps_it_is_given(curve: Curve) -> None:
    steps = np.arange(10)
    curve(steps)
    np.testing.assert_array_equal(steps, np.arange(10))


@pytest.mark.parametrize("amplitude_passed", [(0, 0.0), (1, 0.25), (4, 1.0), (5, 0.75), (7, 0.25), (8, 0.0), (12, 1.0)])
@pytest.mark.parametrize("cycle", [0, 1, 1000])
def test_the_triangle_turns_exactly_at_its_boundaries(amplitude_passed: tuple[int, float], cycle: int) -> None:
    step, share = amplitude_passed
    rate = Triangular(base_lr=0.1, max_lr=0.5, step_size=4)(step + 8 * cycle)
    assert rate == pytest.approx(0.1 + 0.4 * share, rel=1e-12)


def test_half_a_cycle_need_not_be_a_whole_number_of_steps() -> None:
    rates = Triangular(base_lr=0.0001, max_lr=1.0001, step_size=2.5)(np.arange(6))
    np.testing.assert_allclose(rates, [0.0001, 0.4001, 0.8001, 0.8001, 0.4001, 0.0001], rtol=1e-9)


def test_the_triangle_is_that_of_bckenstler() -> None:
    """CLR's own formula, with its cycle counter."""
    steps = np.arange(10_000)
    cycle = np.floor(1 + steps / (2 * 700))
    position = np.abs(steps / 700 - 2 * cycle + 1)
    expected = 0.001 + 0.005 * np.maximum(0, 1 - position)
    np.testing.assert_allclose(Triangular(0.001, 0.006, 700)(steps), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.04), (1, 0.0437849434), (14, 0.609943031), (29, 0.992998089), (50, 0.7500025), (99, 0.000448580565)],
)
def test_one_cycle_is_that_of_fastai(step: int, rate: float) -> None:
    assert OneCycle(max_lr=1.0, total_steps=100)(step) == pytest.approx(rate, rel=1e-8)


def test_one_cycle_peaks_where_the_rise_ends_and_stays_at_its_last_rate() -> None:
    curve = OneCycle(max_lr=2.0, total_steps=40, pct_start=0.5, div_factor=10.0, final_div_factor=1000.0)
    np.testing.assert_allclose(curve(np.array([0, 20, 40, 41, 10_000])), [0.2, 2.0, 0.002, 0.002, 0.002], rtol=1e-9)


@pytest.mark.parametrize(
    ("argument", "value", "step"),
    [("pct_start", 0.5, 20), ("div_factor", 5.0, 0), ("final_div_factor", 10.0, 100), ("total_steps", 50, 20)],
)
def test_every_argument_of_one_cycle_counts(argument: str, value: float, step: int) -> None:
    usual = OneCycle(**VALID[OneCycle])
    assert OneCycle(**{**VALID[OneCycle], argument: value})(step) != pytest.approx(usual(step))


@pytest.mark.parametrize("steps_per_epoch", [1, 3, 41, 61, 107, 176, 391])
def test_decay_falls_at_the_first_step_of_an_epoch_and_only_there(steps_per_epoch: int) -> None:
    curve = InverseTimeDecay(initial_lr=0.01, steps_per_epoch=steps_per_epoch)
    epochs = np.arange(300)
    np.testing.assert_allclose(curve(epochs * steps_per_epoch), 0.01 / (1 + 0.1 * epochs), rtol=1e-12)
    np.testing.assert_allclose(curve((epochs + 1) * steps_per_epoch - 1), 0.01 / (1 + 0.1 * epochs), rtol=1e-12)


def test_the_decay_decides_how_fast_the_rate_falls() -> None:
    assert InverseTimeDecay(0.01, steps_per_epoch=10, decay=1.0)(10) == pytest.approx(0.005)


@pytest.mark.parametrize("iterations", [2, 3, 100, 1000])
def test_the_sweep_reaches_both_ends_with_a_constant_ratio(iterations: int) -> None:
    rates = ExponentialSweep(1e-5, 10.0, iterations)(np.arange(iterations))
    assert rates[0] == pytest.approx(1e-5, rel=1e-12)
    assert rates[-1] == pytest.approx(10.0, rel=1e-12)
    np.testing.assert_allclose(rates[1:] / rates[:-1], 1e6 ** (1 / (iterations - 1)), rtol=1e-9)


@pytest.mark.parametrize("value", [0, -0.1, math.inf, math.nan])
@pytest.mark.parametrize(
    ("curve_class", "argument"),
    [
        *((curve_class, argument) for curve_class in RATES_AND_LENGTHS for argument in VALID[curve_class]),
        *((OneCycle, argument) for argument in ("pct_start", "div_factor", "final_div_factor")),
        *((ExponentialSweep, argument) for argument in ("start_lr", "end_lr")),
        (InverseTimeDecay, "decay"),
    ],
)
def test_every_argument_must_be_positive_and_finite(curve_class: type, argument: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"`{argument}`.*Received: .*{argument}="):
        curve_class(**{**VALID[curve_class], argument: value})


@pytest.mark.parametrize(
    ("curve_class", "changes", "rule"),
    [
        (Triangular, {"base_lr": 0.5}, "less than `max_lr`"),
        (Triangular, {"base_lr": 0.6}, "less than `max_lr`"),
        (OneCycle, {"pct_start": 1.0}, "`pct_start` must be less than 1"),
        (ExponentialSweep, {"start_lr": 10.0}, "less than `end_lr`"),
        (ExponentialSweep, {"start_lr": 11.0}, "less than `end_lr`"),
        (ExponentialSweep, {"iterations": 1}, "2 or more"),
        (ExponentialSweep, {"iterations": -5}, "2 or more"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(curve_class: type, changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        curve_class(**{**VALID[curve_class], **changes})
