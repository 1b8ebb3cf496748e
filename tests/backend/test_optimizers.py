"""Learning rate, momentum and updates of an optimizer. Each test fails if Keras changes a private part that is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.backend.optimizers import (
    HyperParameters,
    ReplacedRate,
    UpdateCounter,
    batch_counter,
    held_rate,
    inner_optimizers,
    is_adaptive,
    require_settable_rate,
    require_single_steps,
    schedule_of,
    slot_of,
)
from lrdiag.errors import SettingsError
from lrdiag.policies.schedules import CurveSchedule, CyclicSchedule, OneCycleSchedule
from lrdiag.policies.sgd import SGD

MODEL = keras.Sequential()  # its engine keeps no state apart
DECAY = keras.optimizers.schedules.ExponentialDecay(0.5, decay_steps=1, decay_rate=0.5)


def built(optimizer: keras.Optimizer, batches: int = 0) -> keras.Optimizer:
    """An optimizer that has made updates with some batches."""
    weight = keras.Variable([1.0])
    optimizer.build([weight])
    for _ in range(batches):
        optimizer.apply([keras.ops.ones(1)], [weight])
    return optimizer


def test_the_held_rate_is_the_variable_or_the_schedule_itself() -> None:
    number, scheduled = keras.optimizers.SGD(0.25), keras.optimizers.SGD(DECAY)
    assert held_rate(number) is number.learning_rate
    assert schedule_of(number) is None
    assert held_rate(scheduled) is schedule_of(scheduled) is DECAY
    assert callable(held_rate(keras.optimizers.SGD(lambda: 0.5)))


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer])
def test_batches_are_counted_under_gradient_accumulation(wrap: Callable[..., keras.Optimizer]) -> None:
    optimizer, weight = wrap(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)), keras.Variable([1.0])
    optimizer.build([weight])
    counter, complete = UpdateCounter(optimizer, MODEL), []
    for _ in range(4):
        optimizer.apply([keras.ops.ones(1)], [weight])
        counter.count()
        complete.append(counter.is_complete)
    assert complete == [False, True, False, True]
    assert (counter.batches, int(batch_counter(optimizer)), int(optimizer.iterations)) == (4, 4, 2)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(0.25, 0.25), (DECAY, 0.125), (OneCycleSchedule(0.5, 8), OneCycleSchedule(0.5, 8).at(2)), (lambda: 0.125, 0.125)],
)
def test_the_rate_is_that_of_the_next_update(rate: Any, expected: float) -> None:
    assert HyperParameters(built(keras.optimizers.SGD(rate), batches=2), MODEL).learning_rate() == expected


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (lambda: keras.optimizers.SGD(0.1, momentum=0.5), 0.5),
        (lambda: SGD(0.1, momentum=0.5), 0.5),
        (lambda: SGD(0.1, momentum=DECAY), 0.125),
        (lambda: SGD(0.1, momentum=CyclicSchedule(0.25, 0.75, 4)), 0.5),
        (lambda: keras.optimizers.Adam(0.1), None),
    ],
)
def test_the_momentum_is_that_of_the_next_update(optimizer: Callable[[], Any], expected: float | None) -> None:
    assert HyperParameters(built(optimizer(), batches=2), MODEL).momentum() == expected


def test_a_schedule_of_lrdiag_is_read_without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = OneCycleSchedule(0.5, 8)
    reader = HyperParameters(built(SGD(rate, rate.momentum(0.85, 0.95))), MODEL)
    monkeypatch.delattr(CurveSchedule, "__call__")
    assert (reader.learning_rate(), reader.momentum()) == (rate.at(0), pytest.approx(0.95))


@pytest.mark.parametrize(
    ("optimizer", "adaptive"),
    [
        (keras.optimizers.SGD(0.1, momentum=0.9), False),
        (SGD(0.1), False),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)), False),
        (keras.optimizers.Adam(), True),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.RMSprop()), True),
        (
            keras.optimizers.MultiOptimizer(
                keras.optimizers.OptimizerMap(keras.optimizers.SGD(), {".*kernel": keras.optimizers.Adam()})
            ),
            True,
        ),
    ],
)
def test_every_optimizer_except_sgd_is_adaptive(optimizer: keras.Optimizer, adaptive: bool) -> None:
    assert is_adaptive(optimizer) == adaptive


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer])
@pytest.mark.parametrize("held", [DECAY, lambda: 0.5], ids=["schedule", "function"])
def test_a_replaced_rate_is_a_variable_of_the_optimizer_until_it_is_restored(wrap: Any, held: Any) -> None:
    outer = wrap(keras.optimizers.SGD(held))
    (optimizer,) = inner_optimizers(outer)
    before = outer.variables
    replaced = ReplacedRate(optimizer, 0.25)
    assert float(optimizer.learning_rate) == 0.25
    assert [each for each in outer.variables if all(each is not other for other in before)] == [replaced.variable]
    for _ in range(2):
        replaced.restore()
    assert held_rate(optimizer) is held
    assert all(a is b for a, b in zip(outer.variables, before, strict=True))


@pytest.mark.parametrize("require", [require_single_steps, require_settable_rate])
def test_several_steps_in_one_execution_are_refused(
    make_line: Callable[..., keras.Model], require: Callable[[keras.Model, str], None]
) -> None:
    require(make_line(), "LRFinder")
    with pytest.raises(SettingsError, match=r"LRFinder.*`steps_per_execution=1`.*Received: steps_per_execution=2"):
        require(make_line(steps_per_execution=2), "LRFinder")


def test_a_rate_that_cannot_be_set_is_refused(make_line: Callable[..., keras.Model]) -> None:
    scheduled = make_line(keras.optimizers.SGD(CyclicSchedule(0.01, 0.1, 3)))
    with pytest.raises(SettingsError, match=r"CurveLR.*must be a number.*Received: CyclicSchedule"):
        require_settable_rate(scheduled, "CurveLR")


def test_the_rates_of_several_optimizers_are_read_one_by_one() -> None:
    optimizers = inner_optimizers(keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(SGD(0.25))))
    np.testing.assert_array_equal([HyperParameters(each, MODEL).learning_rate() for each in optimizers], [0.25])


def test_each_trainable_variable_has_its_own_slot() -> None:
    optimizer, weights = SGD(0.1), [keras.Variable([1.0]), keras.Variable([2.0, 3.0])]
    optimizer.build(weights)
    assert [slot_of(optimizer, weight, optimizer.momentums) for weight in weights] == list(optimizer.momentums)
    assert slot_of(optimizer, weights[1], optimizer.momentums).shape == (2,)
