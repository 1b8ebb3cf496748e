"""`summary`, `plot` and `misfit`: what a policy shows before training."""

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


@pytest.mark.parametrize(("curve", "lengths"), FITTING)
def test_a_run_that_ends_with_a_cycle_fits(curve: Curve, lengths: tuple[int, ...]) -> None:
    assert [curve.misfit(updates) for updates in lengths] == [None] * len(lengths)


@pytest.mark.parametrize(("curve", "updates", "distance", "fix"), MISFITS)
def test_a_run_that_ends_within_a_cycle_gets_a_distance_and_a_fix(
    curve: Curve, updates: int, distance: str, fix: str
) -> None:
    assert curve.misfit(updates) == (f"Training ends {distance} the end of a cycle. With `{fix}` it ends with a cycle.")


@pytest.mark.parametrize(("curve", "updates"), TOO_SHORT)
def test_a_run_that_is_too_short_for_a_cycle_gets_no_fix(curve: Curve, updates: int) -> None:
    assert str(curve.misfit(updates)).endswith("before the end of a cycle: it is too short for the policy.")


# Curves, and the fewest updates that hold a cycle of them.
FITTED: list[tuple[Curve, int]] = [
    (Cyclic(*CYCLE), 3),
    (Cyclic(0.1, 0.5, 10, step_size_down=40), 6),
    (OneCycle(0.5, 100), 4),
    (OneCycle(0.5, 100, convention="pytorch", three_phase=True), 7),
    (CosineRestarts(0.5, 10), 1),
    (Warmup(Cyclic(*CYCLE), 30), 4),
    (Warmup(OneCycle(0.5, 100), 30), 6),
    (Warmup(OneCycle(0.5, 100, convention="pytorch"), 30), 10),
    (Warmup(CosineRestarts(0.5, 10), 30), 2),
]


def changed(curve: Any, arguments: dict[str, float]) -> Curve:
    """The curve with other arguments, also those of the curve inside a warm-up."""
    own = {name: value for name, value in arguments.items() if hasattr(curve, name)}
    others = {name: value for name, value in arguments.items() if name not in own}
    return replace(curve, **own, **({"curve": changed(curve.curve, others)} if others else {}))


@pytest.mark.parametrize(("curve", "fewest"), FITTED)
def test_suggested_arguments_fit(curve: Curve, fewest: int) -> None:
    """They are written as in a call. A curve with them ends the run with a cycle, at its lowest rate."""
    for updates in (fewest, 13, 31, 60, 130, 777, 5001):
        arguments = eval(f"dict({curve.fitting(updates)})")
        assert arguments
        fitted = changed(curve, arguments)
        assert fitted.misfit(updates) is None
        rates = fitted(np.arange(updates))
        assert rates[-1] == pytest.approx(rates[rates.argmax() :].min(), abs=0.03)


@pytest.mark.parametrize(("curve", "fewest"), FITTED)
def test_nothing_is_suggested_for_fewer_updates(curve: Curve, fewest: int) -> None:
    assert [curve.fitting(updates) for updates in range(fewest)] == [""] * fewest


def test_a_summary_has_cycles_peak_and_end() -> None:
    assert OneCycle(1.0, 300).summary(steps_per_epoch=100, epochs=3).splitlines() == [
        "OneCycle: 1 cycle in 300 updates (3 epochs of 100).",
        "The learning rate begins at 0.04, peaks at 1 (update 75, in epoch 1) and ends at 5.87e-5.",
        "Training ends with a cycle.",
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


def test_a_warm_up_is_not_part_of_the_first_cycle() -> None:
    assert Warmup(Cyclic(*CYCLE), 30).summary(55, 1).startswith("Warmup: 0.5 cycles in 55 updates")
    assert Warmup(Cyclic(*CYCLE), 30).summary(20, 1).startswith("Warmup: 0 cycles in 20 updates")


def test_curve_schedule_and_callback_have_the_same_summary() -> None:
    summaries = {policy(*CYCLE).summary(10, 6) for policy in (Cyclic, CyclicSchedule, CyclicLR)}
    assert len(summaries) == 1
    assert "Training ends 10 updates after the end of a cycle. With `step_size=29.5`" in summaries.pop()


@pytest.mark.parametrize("policy", [Cyclic, CyclicSchedule, CyclicLR])
def test_a_plot_is_the_curve(policy: Any) -> None:
    (line,) = policy(*CYCLE).plot(20, 5).get_lines()
    np.testing.assert_allclose(line.get_xdata(), np.arange(100) / 20)
    np.testing.assert_allclose(line.get_ydata(), Cyclic(*CYCLE)(np.arange(100)))


def test_a_plot_is_drawn_on_the_given_axes() -> None:
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
def test_a_plot_without_counts_shows_the_whole_policy(curve: Curve, updates: int) -> None:
    assert len(curve.plot().get_lines()[0].get_xdata()) == updates


def test_whole_numbers_of_numpy_are_accepted() -> None:
    """Also floats that are whole, as `np.ceil` returns them."""
    for counts in ((np.int64(20), np.int32(5)), (np.ceil(312 / 16), 5.0)):
        assert Cyclic(*CYCLE).summary(*counts) == Cyclic(*CYCLE).summary(20, 5)


@pytest.mark.parametrize("steps", [(0, 5), (5, 0), (math.inf, 4), (math.nan, 4), (3.5, 2), (3, "2"), (3, None)])
def test_counts_that_are_not_whole_numbers_are_refused(steps: tuple[Any, Any]) -> None:
    with pytest.raises(
        SettingsError, match=f"must be whole numbers.*Received: steps_per_epoch={steps[0]!r}, epochs={steps[1]!r}"
    ):
        Cyclic(*CYCLE).summary(*steps)
    with pytest.raises(SettingsError, match="must be whole numbers"):
        Cyclic(*CYCLE).plot(*steps)
