"""What a policy says and shows of itself before training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from lrdiag.errors import SettingsError
from lrdiag.policies.callbacks import CyclicLR
from lrdiag.policies.schedules import CyclicSchedule
from lrdiag.rate.curves import (
    CosineRestarts,
    Curve,
    CycledMomentum,
    Cyclic,
    InverseTimeDecay,
    LinearSweep,
    OneCycle,
    Warmup,
)

CYCLE = (0.1, 0.5, 25)


@pytest.fixture(autouse=True)
def _without_a_screen() -> Iterator[None]:
    before = matplotlib.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


FITTING = [
    (Cyclic(*CYCLE), (50, 51, 100, 101, 1000)),
    (Cyclic(0.1, 0.5, 24.75), (50, 99, 100)),
    (Cyclic(0.1, 0.5, 166), (999,)),  # three cycles, one step size rounded down
    (Cyclic(0.1, 0.5, 10, step_size_down=40), (50, 100)),
    (OneCycle(1.0, 100), (99, 100, 101)),
    (OneCycle(1.0, 100, convention="pytorch"), (100,)),
    (CosineRestarts(0.4, 10), (10, 9, 30, 70)),
    (Warmup(Cyclic(*CYCLE), 30), (80, 130)),
    (InverseTimeDecay(0.1, 10), (7, 10, 1000)),
    (LinearSweep(0.1, 1.0, 50), (10, 50, 100)),
]
MISFITS = [
    (Cyclic(*CYCLE), 60, "10 updates after", "step_size=29.5"),
    (Cyclic(*CYCLE), 40, "10 updates before", "step_size=19.5"),
    (Cyclic(*CYCLE), 130, "20 updates before", "step_size=21.5"),
    (Cyclic(0.1, 0.5, 10, step_size_down=40), 61, "11 updates after", "step_size=12, step_size_down=48"),
    (OneCycle(1.0, 100), 150, "50 updates after", "total_steps=150"),
    (OneCycle(1.0, 100), 50, "50 updates before", "total_steps=50"),
    (CosineRestarts(0.4, 10), 11, "1 update after", "first_decay_steps=11"),
    (CosineRestarts(0.4, 10), 60, "10 updates before", "first_decay_steps=8.57143"),
    (Warmup(Cyclic(*CYCLE), 30), 90, "10 updates after", "step_size=29.5"),
    (Warmup(OneCycle(1.0, 100), 30), 70, "60 updates before", "total_steps=40"),
    (Warmup(OneCycle(1.0, 100), 30), 20, "110 updates before", "warmup_steps=5, total_steps=15"),
    (Warmup(Cyclic(*CYCLE), 30), 20, "60 updates before", "warmup_steps=4, step_size=7.5"),
]
TOO_SHORT = [
    (Cyclic(*CYCLE), 2),
    (OneCycle(1.0, 100), 3),
    (OneCycle(1.0, 100, convention="pytorch"), 6),
    (Warmup(OneCycle(1.0, 100), 30), 3),
    (Warmup(CosineRestarts(0.4, 10), 30), 1),
]


@pytest.mark.parametrize(("curve", "updates"), [(curve, each) for curve, fits in FITTING for each in fits])
def test_a_training_that_ends_with_a_cycle_is_fine(curve: Curve, updates: int) -> None:
    assert curve.misfit(updates) is None


@pytest.mark.parametrize(("curve", "updates", "distance", "fix"), MISFITS)
def test_a_training_that_ends_within_a_cycle_is_told_by_how_much_and_what_would_fit(
    curve: Curve, updates: int, distance: str, fix: str
) -> None:
    assert curve.misfit(updates) == (
        f"The training ends {distance} the end of a cycle. With `{fix}` it ends with a cycle."
    )


@pytest.mark.parametrize(("curve", "updates"), TOO_SHORT)
def test_a_training_that_holds_no_cycle_is_told_so(curve: Curve, updates: int) -> None:
    assert str(curve.misfit(updates)).endswith("before the end of a cycle: it is too short for the policy.")


def changed(curve: Any, arguments: dict[str, float]) -> Curve:
    """The curve with other arguments, those of a curve within a warm-up too."""
    own = {name: value for name, value in arguments.items() if hasattr(curve, name)}
    others = {name: value for name, value in arguments.items() if name not in own}
    return replace(curve, **own, **({"curve": changed(curve.curve, others)} if others else {}))


@pytest.mark.parametrize("updates", [1, 2, 3, 4, 7, 13, 31, 60, 130, 777, 5001])
@pytest.mark.parametrize(
    "curve",
    [
        Cyclic(*CYCLE),
        Cyclic(0.1, 0.5, 10, step_size_down=40),
        OneCycle(0.5, 100),
        OneCycle(0.5, 100, convention="pytorch", three_phase=True),
        CosineRestarts(0.5, 10),
        Warmup(Cyclic(*CYCLE), 30),
        Warmup(OneCycle(0.5, 100), 30),
        Warmup(OneCycle(0.5, 100, convention="pytorch"), 30),
        Warmup(CosineRestarts(0.5, 10), 30),
    ],
)
def test_what_is_said_to_fit_fits(curve: Curve, updates: int) -> None:
    """The text is arguments as they are written in a call."""
    arguments = eval(f"dict({curve.fitting(updates)})")
    assert arguments or updates < 13
    if arguments:
        fitted = changed(curve, arguments)
        assert fitted.misfit(updates) is None
        rates = fitted(np.arange(updates))
        assert rates[-1] == pytest.approx(rates[rates.argmax() :].min(), abs=0.03)


def test_a_summary_says_cycles_peak_and_end() -> None:
    assert OneCycle(1.0, 300).summary(steps_per_epoch=100, epochs=3).splitlines() == [
        "OneCycle: 1 cycle in 300 updates (3 epochs of 100).",
        "The learning rate begins at 0.04, peaks at 1 (update 75, in epoch 1) and ends at 5.87e-05.",
        "The training ends with a cycle.",
    ]
    assert InverseTimeDecay(0.1, 8).summary(8, 1).splitlines() == [
        "InverseTimeDecay: 8 updates (1 epoch of 8).",
        "The learning rate begins at 0.1, peaks at 0.1 (update 0, in epoch 1) and ends at 0.1.",
    ]
    assert "2 cycles in 100 updates" in Cyclic(*CYCLE).summary(50, 2)
    assert "1.2 cycles in 60 updates" in Cyclic(*CYCLE).summary(60, 1)
    assert "2.5 cycles in 50 updates" in CosineRestarts(0.1, 10).summary(50, 1)
    assert "The momentum begins at 0.95, is lowest at 0.85 (update 25, in epoch 3) and ends at 0.95" in (
        CycledMomentum(OneCycle(1.0, 100), 0.85, 0.95).summary(10, 10)
    )


def test_a_warm_up_is_no_part_of_the_first_cycle() -> None:
    assert Warmup(Cyclic(*CYCLE), 30).summary(55, 1).startswith("Warmup: 0.5 cycles in 55 updates")
    assert Warmup(Cyclic(*CYCLE), 30).summary(20, 1).startswith("Warmup: 0 cycles in 20 updates")


def test_curve_schedule_and_callback_say_the_same() -> None:
    said = {policy(*CYCLE).summary(10, 6) for policy in (Cyclic, CyclicSchedule, CyclicLR)}
    assert len(said) == 1
    assert "The training ends 10 updates after the end of a cycle. With `step_size=29.5`" in said.pop()


@pytest.mark.parametrize("policy", [Cyclic, CyclicSchedule, CyclicLR])
def test_a_plot_is_the_curve(policy: Any) -> None:
    (line,) = policy(*CYCLE).plot(20, 5).get_lines()
    np.testing.assert_allclose(line.get_xdata(), np.arange(100) / 20)
    np.testing.assert_allclose(line.get_ydata(), Cyclic(*CYCLE)(np.arange(100)))


def test_a_plot_goes_where_it_is_asked_to() -> None:
    axes = pyplot.subplots()[1]
    assert Cyclic(*CYCLE).plot(axes=axes) is axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("update", "learning rate")
    other = CycledMomentum(Cyclic(*CYCLE), 0.8, 0.9).plot(5, 2)
    assert other is not axes
    assert (other.get_xlabel(), other.get_ylabel()) == ("epoch", "momentum")


@pytest.mark.parametrize(
    ("curve", "updates"),
    [
        (Cyclic(*CYCLE), 150),
        (OneCycle(1.0, 100), 100),
        (CosineRestarts(0.1, 10), 70),
        (InverseTimeDecay(0.1, 10), 110),
        (Warmup(OneCycle(1.0, 100), 30), 130),
        (CycledMomentum(OneCycle(1.0, 100), 0.8, 0.9), 100),
        (LinearSweep(0.1, 1.0, 50), 50),
    ],
)
def test_a_plot_without_a_training_shows_the_policy_whole(curve: Curve, updates: int) -> None:
    assert len(curve.plot().get_lines()[0].get_xdata()) == updates


def test_whole_numbers_of_numpy_are_counts() -> None:
    """Also those that its ceiling and floor give."""
    for counts in ((np.int64(20), np.int32(5)), (np.ceil(312 / 16), 5.0)):
        assert Cyclic(*CYCLE).summary(*counts) == Cyclic(*CYCLE).summary(20, 5)


@pytest.mark.parametrize("steps", [(0, 5), (5, 0), (math.inf, 4), (math.nan, 4), (3.5, 2), (3, "2"), (3, None)])
def test_a_training_that_is_no_whole_number_of_updates_is_refused(steps: tuple[Any, Any]) -> None:
    with pytest.raises(SettingsError, match=f"ceiling.*Received: steps_per_epoch={steps[0]!r}, epochs={steps[1]!r}"):
        Cyclic(*CYCLE).summary(*steps)
    with pytest.raises(SettingsError, match="Received"):
        Cyclic(*CYCLE).plot(*steps)
