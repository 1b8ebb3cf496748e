"""The curves compared with their closed forms and with the tools that they follow."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.errors import SettingsError
from lrdiag.policies.schedules import CyclicSchedule
from lrdiag.rate import curves
from lrdiag.rate.curves import (
    CosineRestarts,
    Curve,
    CycledMomentum,
    Cyclic,
    ExponentialSweep,
    InverseTimeDecay,
    LinearSweep,
    OneCycle,
    Warmup,
    curve_from_config,
)

VALID: dict[type, dict[str, Any]] = {
    Cyclic: {"base_lr": 0.1, "max_lr": 0.5, "step_size": 4},
    OneCycle: {"max_lr": 1.0, "total_steps": 100},
    CosineRestarts: {"initial_lr": 0.4, "first_decay_steps": 20},
    InverseTimeDecay: {"initial_lr": 0.01, "steps_per_epoch": 41},
    Warmup: {"curve": Cyclic(0.1, 0.5, 4, "triangular2"), "warmup_steps": 6},
    CycledMomentum: {"curve": OneCycle(1.0, 100), "low": 0.85, "high": 0.95},
    ExponentialSweep: {"start_lr": 1e-5, "end_lr": 10.0, "iterations": 100},
    LinearSweep: {"start_lr": 1e-5, "end_lr": 10.0, "iterations": 100},
}
SWEEPS = (ExponentialSweep, LinearSweep)
STEPS = np.arange(300)


@pytest.fixture(params=VALID, ids=lambda curve_class: curve_class.__name__)
def curve(request: pytest.FixtureRequest) -> Curve:
    return request.param(**VALID[request.param])


def test_every_curve_is_in_the_table() -> None:
    exported = {each for each in vars(curves).values() if isinstance(each, type) and issubclass(each, Curve)}
    assert exported == {Curve, *VALID}


def test_an_array_of_steps_gives_the_rate_of_each(curve: Curve) -> None:
    steps = STEPS.reshape(3, 100)
    rates = curve(steps)
    assert rates.shape == steps.shape
    np.testing.assert_allclose(rates.ravel(), [float(curve(int(step))) for step in STEPS], rtol=1e-14)


def test_a_curve_does_not_change_the_steps_it_is_given(curve: Curve) -> None:
    steps = np.arange(10)
    curve(steps)
    np.testing.assert_array_equal(steps, np.arange(10))


def test_a_configuration_of_plain_values_makes_the_same_curve_again(curve: Curve) -> None:
    assert curve_from_config(curve.get_config()) == curve


@pytest.mark.parametrize("amplitude_passed", [(0, 0.0), (1, 0.25), (4, 1.0), (5, 0.75), (7, 0.25), (8, 0.0), (12, 1.0)])
@pytest.mark.parametrize("cycle", [0, 1, 1000])
def test_the_triangle_turns_exactly_at_its_boundaries(amplitude_passed: tuple[int, float], cycle: int) -> None:
    step, share = amplitude_passed
    rate = Cyclic(base_lr=0.1, max_lr=0.5, step_size=4)(step + 8 * cycle)
    assert rate == pytest.approx(0.1 + 0.4 * share, rel=1e-12)


def test_half_a_cycle_may_be_a_fractional_number_of_steps() -> None:
    rates = Cyclic(base_lr=0.0001, max_lr=1.0001, step_size=2.5)(np.arange(6))
    np.testing.assert_allclose(rates, [0.0001, 0.4001, 0.8001, 0.8001, 0.4001, 0.0001], rtol=1e-9)


GAMMA = 0.9997


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range", "exp_range_boundaries"])
def test_the_cycles_are_those_of_bckenstler_and_of_smiths_text(mode: Any) -> None:
    """CLR's own formula, with its cycle counter from 1; Smith lets both boundaries decay."""
    steps = np.arange(10_000)
    cycle = np.floor(1 + steps / (2 * 700))
    triangle = np.maximum(0, 1 - np.abs(steps / 700 - 2 * cycle + 1))
    expected = {
        "triangular": 0.001 + 0.005 * triangle,
        "triangular2": 0.001 + 0.005 * triangle / 2.0 ** (cycle - 1),
        "exp_range": 0.001 + 0.005 * triangle * GAMMA**steps,
        "exp_range_boundaries": (0.001 + 0.005 * triangle) * GAMMA**steps,
    }[mode]
    gamma = GAMMA if "exp" in mode else 1.0
    np.testing.assert_allclose(Cyclic(0.001, 0.006, 700, mode, gamma)(steps), expected, rtol=1e-9)


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
@pytest.mark.parametrize(("up", "down"), [(30, 30), (30, 90), (50, 20)])
def test_rate_and_momentum_of_uneven_cycles_are_those_of_pytorch(mode: Any, up: int, down: int) -> None:
    """`torch.optim.lr_scheduler.CyclicLR`, its formula written out."""
    ratio, scales = up / (up + down), {"triangular": 1.0, "triangular2": None, "exp_range": GAMMA**STEPS}
    cycle = np.floor(1 + STEPS / (up + down))
    position = 1 + STEPS / (up + down) - cycle
    triangle = np.where(position <= ratio, position / ratio, (position - 1) / (ratio - 1))
    swing = triangle * (scales[mode] if scales[mode] is not None else 0.5 ** (cycle - 1))
    curve = Cyclic(0.1, 0.5, up, mode, GAMMA if "exp" in mode else 1.0, step_size_down=down)
    np.testing.assert_allclose(curve(STEPS), 0.1 + 0.4 * swing, rtol=1e-9)
    np.testing.assert_allclose(curve.momentum(STEPS, 0.8, 0.9), 0.9 - 0.1 * swing, rtol=1e-9)


def test_the_momentum_does_not_decay_if_both_boundaries_decay() -> None:
    decaying, steady = Cyclic(0.1, 0.5, 30, "exp_range_boundaries", GAMMA), Cyclic(0.1, 0.5, 30)
    np.testing.assert_array_equal(decaying.momentum(STEPS, 0.8, 0.9), steady.momentum(STEPS, 0.8, 0.9))


# The reference's values at T = 100, peak 1: step, rate, momentum between 0.85 and 0.95.
FASTAI = [
    (0, 0.04, 0.95), (1, 0.0437849434, 0.949606), (14, 0.609943031, 0.890631), (29, 0.992998089, 0.8507),
    (50, 0.7500025, 0.875), (99, 0.000448580565, 0.949956),
]  # fmt: skip
PYTORCH = [
    (0, 0.04, 0.95), (1, 0.0428137806, 0.949707), (14, 0.494013324, 0.902707), (29, 1.0, 0.85),
    (50, 0.793893451, 0.870611), (99, 4e-6, 0.95),
]  # fmt: skip


@pytest.mark.parametrize(
    ("convention", "step", "rate", "momentum"),
    [*(("fastai", *row) for row in FASTAI), *(("pytorch", *row) for row in PYTORCH)],
)
def test_one_cycle_equals_its_convention(convention: Any, step: int, rate: float, momentum: float) -> None:
    curve = OneCycle(max_lr=1.0, total_steps=100, convention=convention)
    assert curve(step) == pytest.approx(rate, rel=1e-8)
    assert curve.momentum(step, 0.85, 0.95) == pytest.approx(momentum, abs=1e-6)


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.04), (1, 0.0731034483), (25, 0.867586207), (50, 0.304827586), (99, 4e-6)]
)
def test_three_phases_are_those_of_pytorch(step: int, rate: float) -> None:
    curve = OneCycle(1.0, 100, convention="pytorch", anneal="linear", three_phase=True)
    assert curve(step) == pytest.approx(rate, rel=1e-8)


@pytest.mark.parametrize("convention", ["fastai", "pytorch"])
def test_three_phases_turn_at_their_ends_and_keep_the_momentum_high_in_the_last(convention: Any) -> None:
    """PyTorch's phases end at 40 * 0.4 - 1, 2 * 40 * 0.4 - 2 and 40 - 1; fastai's at 16, 32 and 40."""
    turns = {"fastai": [0, 16, 32, 40], "pytorch": [0, 15, 30, 39]}[convention]
    curve = OneCycle(2.0, 40, 0.4, 10.0, 100.0, convention, "linear", three_phase=True)
    last = {"fastai": 0.02, "pytorch": 0.002}[convention]
    np.testing.assert_allclose(curve(np.array(turns)), [0.2, 2.0, 0.2, last], rtol=1e-9)
    momenta = curve.momentum(np.array([*turns, turns[2] + 3, 1000]), 0.85, 0.95)
    np.testing.assert_allclose(momenta, [0.95, 0.85, 0.95, 0.95, 0.95, 0.95], rtol=1e-9)


def test_linear_and_cosine_annealing_are_equal_only_halfway() -> None:
    straight, cosine = (OneCycle(1.0, 40, pct_start=0.5, anneal=anneal) for anneal in ("linear", "cos"))
    assert straight(10) == pytest.approx(0.52) == cosine(10)
    assert straight(5) == pytest.approx(0.28)
    assert cosine(5) == pytest.approx(0.04 + 0.96 * (1 - math.cos(math.pi / 4)) / 2)


def test_one_cycle_peaks_where_the_rise_ends_and_stays_at_its_last_rate() -> None:
    curve = OneCycle(max_lr=2.0, total_steps=40, pct_start=0.5, div_factor=10.0, final_div_factor=1000.0)
    np.testing.assert_allclose(curve(np.array([0, 20, 40, 41, 10_000])), [0.2, 2.0, 0.002, 0.002, 0.002], rtol=1e-9)


@pytest.mark.parametrize(
    ("argument", "value", "step"),
    [
        ("pct_start", 0.5, 20),
        ("div_factor", 5.0, 0),
        ("final_div_factor", 10.0, 100),
        ("total_steps", 50, 20),
        ("convention", "pytorch", 20),
        ("anneal", "linear", 20),
        ("three_phase", True, 50),
    ],
)
def test_each_argument_of_one_cycle_changes_the_rate(argument: str, value: Any, step: int) -> None:
    usual = OneCycle(**VALID[OneCycle])
    assert OneCycle(**{**VALID[OneCycle], argument: value})(step) != pytest.approx(usual(step))


@pytest.mark.parametrize(
    ("t_mul", "m_mul", "alpha", "first"), [(1.0, 1.0, 0.0, 20), (2.0, 0.8, 0.1, 20), (3.0, 1.0, 0.0, 9), (1.5, 1, 0, 8)]
)
def test_cosine_restarts_equal_those_of_keras(t_mul: float, m_mul: float, alpha: float, first: int) -> None:
    """Except at the restarts, which Keras's float32 may put one step late."""
    ends = np.cumsum(first * t_mul ** np.arange(6))
    steps = np.setdiff1d(STEPS, ends)
    keras_own = keras.optimizers.schedules.CosineDecayRestarts(0.4, first, t_mul, m_mul, alpha)
    curve = CosineRestarts(0.4, first, t_mul, m_mul, alpha)
    np.testing.assert_allclose(curve(steps), keras_own(steps), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(("t_mul", "first"), [(1.0, 41), (1.0, 107), (2.0, 7), (3.0, 3), (5.0, 1)])
def test_cosine_restarts_are_at_the_top_exactly_at_each_restart(t_mul: float, first: int) -> None:
    starts = np.concatenate([[0], np.cumsum(first * t_mul ** np.arange(6))]).astype(int)
    curve = CosineRestarts(0.4, first, t_mul, m_mul=0.5, alpha=0.01)
    np.testing.assert_allclose(curve(starts), 0.4 * (0.01 + 0.99 * 0.5 ** np.arange(7)), rtol=1e-9)
    lengths = np.diff(starts)
    before = 0.4 * (0.01 + 0.99 * 0.5 ** np.arange(6) * (1 + np.cos(np.pi * (lengths - 1) / lengths)) / 2)
    np.testing.assert_allclose(curve(starts[1:] - 1), before, rtol=1e-9)


@pytest.mark.parametrize(
    "curve",
    [Cyclic(0.01, 0.4, 41), Cyclic(0.01, 0.4, 7, step_size_down=75), CosineRestarts(0.4, 82, t_mul=1.0)],
    ids=["triangle", "uneven", "restarts"],
)
def test_all_cycles_are_the_same_however_many_have_passed(curve: Curve) -> None:
    steps = np.arange(82)
    for cycles in (1, 2**24):
        np.testing.assert_array_equal(curve(82 * cycles + steps), curve(steps))


@pytest.mark.parametrize("cycles", [201, 4001])
def test_cosine_restarts_are_exact_in_a_long_run(cycles: int) -> None:
    curve = CosineRestarts(0.1, 5000, t_mul=1.0)
    restart = cycles * 5000
    np.testing.assert_allclose(curve(np.array([restart - 1, restart])), [0.0, 0.1], rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize(("t_mul", "updates"), [(1.0, 300_000), (1.001, 300_000), (2.0, 1000)])
def test_the_ends_of_many_cycles_are_counted_quickly(t_mul: float, updates: int) -> None:
    _, *ends = CosineRestarts(0.1, 3, t_mul).cycle_bounds(updates)
    assert ends[-2] < updates <= ends[-1]
    np.testing.assert_allclose(np.diff(ends[:50]), 3 * t_mul ** np.arange(1, len(ends[:50])), rtol=1e-9)


@pytest.mark.parametrize("steps_per_epoch", [1, 3, 41, 61, 107, 176, 391])
def test_decay_changes_the_rate_at_the_first_step_of_an_epoch(steps_per_epoch: int) -> None:
    curve = InverseTimeDecay(initial_lr=0.01, steps_per_epoch=steps_per_epoch)
    epochs = np.arange(300)
    np.testing.assert_allclose(curve(epochs * steps_per_epoch), 0.01 / (1 + 0.1 * epochs), rtol=1e-12)
    np.testing.assert_allclose(curve((epochs + 1) * steps_per_epoch - 1), 0.01 / (1 + 0.1 * epochs), rtol=1e-12)


def test_the_decay_decides_how_fast_the_rate_falls() -> None:
    assert InverseTimeDecay(0.01, steps_per_epoch=10, decay=1.0)(10) == pytest.approx(0.005)


@pytest.mark.parametrize("wrapped", [VALID[CycledMomentum]["curve"], Cyclic(0.1, 0.5, 4), InverseTimeDecay(0.4, 7)])
@pytest.mark.parametrize(("warmup_steps", "start_lr"), [(1, 0.0), (5, 0.0), (8, 0.03)])
def test_a_warm_up_is_a_line_to_the_first_rate_and_then_the_curve(
    wrapped: Curve, warmup_steps: int, start_lr: float
) -> None:
    rates = Warmup(wrapped, warmup_steps, start_lr)(STEPS)
    first = float(wrapped(0))
    np.testing.assert_allclose(rates[: warmup_steps + 1], np.linspace(start_lr, first, warmup_steps + 1), rtol=1e-12)
    np.testing.assert_array_equal(rates[warmup_steps:], wrapped(STEPS[: len(STEPS) - warmup_steps]))


def test_the_momentum_begins_its_cycle_after_the_warm_up() -> None:
    curve = OneCycle(1.0, 100)
    momenta = CycledMomentum(Warmup(curve, 10), 0.85, 0.95)(STEPS)
    np.testing.assert_array_equal(momenta[:10], 0.95)
    np.testing.assert_array_equal(momenta[10:], curve.momentum(STEPS[:-10], 0.85, 0.95))


def test_the_boundaries_of_momentum_are_used() -> None:
    momentum = CycledMomentum(Cyclic(0.1, 0.5, 4), low=0.5, high=0.75)
    np.testing.assert_allclose(momentum(np.array([0, 2, 4, 8])), [0.75, 0.625, 0.5, 0.75])


@pytest.mark.parametrize("iterations", [2, 3, 100, 1000])
def test_the_sweeps_reach_both_ends_in_even_steps(iterations: int) -> None:
    exponential, linear = (sweep(1e-5, 10.0, iterations)(np.arange(iterations)) for sweep in SWEEPS)
    for rates in (exponential, linear):
        assert (rates[0], rates[-1]) == pytest.approx((1e-5, 10.0), rel=1e-12)
    np.testing.assert_allclose(exponential[1:] / exponential[:-1], 1e6 ** (1 / (iterations - 1)), rtol=1e-9)
    np.testing.assert_allclose(np.diff(linear), (10.0 - 1e-5) / (iterations - 1), rtol=1e-9)


POSITIVE = {
    Cyclic: ("base_lr", "max_lr", "step_size", "gamma", "step_size_down"),
    OneCycle: ("max_lr", "total_steps", "pct_start", "div_factor", "final_div_factor"),
    CosineRestarts: ("initial_lr", "first_decay_steps", "t_mul", "m_mul"),
    InverseTimeDecay: ("initial_lr", "steps_per_epoch", "decay"),
    Warmup: ("warmup_steps",),
    ExponentialSweep: ("start_lr", "end_lr"),
    LinearSweep: ("start_lr", "end_lr"),
}


@pytest.mark.parametrize(
    ("curve_class", "argument"), [(each, argument) for each, arguments in POSITIVE.items() for argument in arguments]
)
def test_each_number_must_be_positive_and_finite(curve_class: type, argument: str) -> None:
    for value in (0, -0.1, math.inf, math.nan, "0.1", True, [0.1]):
        with pytest.raises(SettingsError, match=rf"`{argument}`.*Received: .*{argument}="):
            curve_class(**{**VALID[curve_class], argument: value})


@pytest.mark.parametrize(
    ("curve_class", "changes", "rule"),
    [
        (Cyclic, {"base_lr": 0.5}, "`base_lr` must be less than `max_lr`"),
        (Cyclic, {"base_lr": 0.6}, "`base_lr` must be less than `max_lr`"),
        (Cyclic, {"mode": "square"}, r"`mode` must be one of triangular,.*Received: 'square'"),
        (Cyclic, {"gamma": 0.9}, r"exactly 1 unless.*Received: gamma=0\.9, mode='triangular'"),
        (Cyclic, {"gamma": 1.1, "mode": "exp_range"}, "at most 1"),
        (Cyclic, {"step_size": 0.5}, r"`step_size` must be 1 or more.*Received: step_size=0\.5"),
        (Cyclic, {"step_size_down": 0.9}, r"`step_size_down` must be 1 or more.*Received: step_size_down=0\.9"),
        (OneCycle, {"div_factor": 0.5}, r"`div_factor` must be 1 or more.*Received: div_factor=0\.5"),
        (OneCycle, {"final_div_factor": 0.5}, "`final_div_factor` must be 1 or more"),
        (OneCycle, {"pct_start": 1.0}, "`pct_start` must be less than 1"),
        (OneCycle, {"pct_start": 0.5, "three_phase": True}, r"`pct_start` must be less than 0\.5"),
        (OneCycle, {"total_steps": 3, "convention": "pytorch"}, "large enough.*Received: .*total_steps=3"),
        (OneCycle, {"total_steps": 1, "convention": "pytorch"}, "large enough.*Received: .*total_steps=1"),
        (OneCycle, {"convention": "jax"}, "`convention` must be one of fastai, pytorch"),
        (OneCycle, {"anneal": "steps"}, "`anneal` must be one of cos, linear"),
        (CosineRestarts, {"t_mul": 0.5}, "`t_mul` must be 1 or more"),
        (CosineRestarts, {"alpha": 1.0}, r"`alpha` must be in \[0, 1\)"),
        (CosineRestarts, {"alpha": -0.1}, r"`alpha` must be in \[0, 1\)"),
        (CosineRestarts, {"alpha": "0"}, r"`alpha` must be in \[0, 1\)\. Received: alpha='0'"),
        (Warmup, {"start_lr": 0.1}, r"less than the curve's first rate, 0\.1\. Received: start_lr=0\.1"),
        (Warmup, {"start_lr": -0.1}, "0 or more"),
        (Warmup, {"start_lr": "0"}, r"0 or more.*Received: start_lr='0'"),
        (CycledMomentum, {"low": 0.95}, "low < high < 1"),
        (CycledMomentum, {"high": 1.0}, r"low < high < 1\. Received: low=0\.85, high=1\.0"),
        (CycledMomentum, {"low": -0.1}, "0 <= low"),
        (CycledMomentum, {"low": "0.8"}, r"two numbers.*Received: low='0\.8'"),
        (CycledMomentum, {"curve": InverseTimeDecay(0.1, 5)}, "use `Cyclic` or `OneCycle`.*InverseTimeDecay"),
        *((sweep, {"start_lr": start}, "less than `end_lr`") for sweep in SWEEPS for start in (10.0, 11.0)),
        *((sweep, {"iterations": count}, "2 or more") for sweep in SWEEPS for count in (1, -5, "100")),
    ],
)
def test_arguments_outside_of_their_range_are_refused(curve_class: type, changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        curve_class(**{**VALID[curve_class], **changes})


@pytest.mark.parametrize("curve_class", [Warmup, CycledMomentum])
@pytest.mark.parametrize(
    ("value", "received"),
    [
        (0.1, "float"),
        (CyclicSchedule(0.1, 0.5, 4), "CyclicSchedule"),
        (keras.optimizers.schedules.CosineDecay(0.1, 100), "CosineDecay"),
    ],
)
def test_a_combined_curve_needs_a_curve(curve_class: type, value: Any, received: str) -> None:
    with pytest.raises(SettingsError, match=rf"`curve` must be a curve.*its attribute `curve`\. Received: {received}$"):
        curve_class(**{**VALID[curve_class], "curve": value})


def test_numbers_of_numpy_are_numbers() -> None:
    assert Cyclic(np.float32(0.25), np.float64(0.5), np.int64(4)) == Cyclic(0.25, 0.5, 4)


def test_a_curve_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cyclic(0.1, 0.5, 4).step_size = 5
