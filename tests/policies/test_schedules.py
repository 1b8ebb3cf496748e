"""The curves as Keras schedules: equal to the curve at each update in every mode, and saved with the model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.backend.optimizers import schedule_of
from lrdiag.errors import SettingsError
from lrdiag.policies.callbacks import CyclicLR, OneCycleLR
from lrdiag.policies.schedules import CurveSchedule, CyclicSchedule, InverseTimeDecaySchedule, OneCycleSchedule
from lrdiag.rate.curves import CosineRestarts, Cyclic, InverseTimeDecay, OneCycle, Warmup

CYCLE = {"base_lr": 0.01, "max_lr": 0.1, "step_size": 4}
ONE_CYCLE = {"max_lr": 0.4, "total_steps": 99}
NAMED = [
    (CyclicSchedule, Cyclic, CYCLE),
    (CyclicSchedule, Cyclic, {**CYCLE, "step_size": 2.5}),
    (CyclicSchedule, Cyclic, {**CYCLE, "step_size": 7, "mode": "triangular2"}),
    (CyclicSchedule, Cyclic, {**CYCLE, "mode": "exp_range", "gamma": 0.98}),
    (CyclicSchedule, Cyclic, {**CYCLE, "mode": "exp_range_boundaries", "gamma": 0.98}),
    (CyclicSchedule, Cyclic, {**CYCLE, "step_size_down": 12}),
    (CyclicSchedule, Cyclic, {**CYCLE, "step_size": 7, "step_size_down": 17, "mode": "triangular2"}),
    (CyclicSchedule, Cyclic, {**CYCLE, "step_size_down": 11.3, "mode": "exp_range", "gamma": 0.9999997}),
    (OneCycleSchedule, OneCycle, ONE_CYCLE),
    (OneCycleSchedule, OneCycle, {**ONE_CYCLE, "pct_start": 0.3, "div_factor": 4.0, "final_div_factor": 9.0}),
    (OneCycleSchedule, OneCycle, {**ONE_CYCLE, "convention": "pytorch"}),
    (OneCycleSchedule, OneCycle, {**ONE_CYCLE, "anneal": "linear"}),
    (OneCycleSchedule, OneCycle, {**ONE_CYCLE, "convention": "pytorch", "three_phase": True}),
    (InverseTimeDecaySchedule, InverseTimeDecay, {"initial_lr": 0.01, "steps_per_epoch": 7, "decay": 0.3}),
]
CURVES = [
    CosineRestarts(0.4, 10, 2.0, 0.5, 0.1),
    CosineRestarts(0.4, 7, t_mul=1.0),
    CosineRestarts(0.4, 7, 1.1, 0.9),
    Warmup(CosineRestarts(0.4, 20), 10),
    Warmup(Cyclic(0.1, 0.4, 5, "triangular2"), 10, 0.05),
    Warmup(OneCycle(0.4, 80), 7, 0.001),
]
FORMS = [
    *((schedule(**arguments), curve(**arguments)) for schedule, curve, arguments in NAMED),
    *((CurveSchedule(curve), curve) for curve in CURVES),
    *((CurveSchedule(curve).momentum(0.8, 0.9), lambda step, curve=curve: curve.momentum(step, 0.8, 0.9))
      for curve in (Cyclic(0.1, 0.4, 5), OneCycle(0.4, 99))),
]  # fmt: skip


@pytest.fixture(params=FORMS, ids=lambda form: f"{type(form[0]).__name__}-{FORMS.index(form)}")
def form(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A schedule and its curve."""
    return request.param


LONG = np.concatenate([np.arange(begin, begin + 120) for begin in (0, 1_000_000, 20_000_000)])


def test_at_equals_the_tensor(form: tuple[Any, Any]) -> None:
    schedule, _ = form
    np.testing.assert_array_equal([schedule.at(int(step)) for step in LONG[::7]], schedule(LONG[::7]))


def test_at_counts_updates() -> None:
    accumulating = CyclicSchedule(**CYCLE, gradient_accumulation_steps=3)
    assert [accumulating.at(step) for step in (5, 6)] == [CyclicSchedule(**CYCLE).at(step) for step in (1, 2)]


def test_a_schedule_equals_its_curve_at_each_step(form: tuple[Any, Any]) -> None:
    schedule, curve = form
    steps = LONG[::13]
    rates = [schedule(keras.ops.convert_to_tensor(step, "int64")) for step in steps]
    assert {tuple(rate.shape) for rate in rates} == {()}
    assert {keras.backend.standardize_dtype(rate.dtype) for rate in rates} == {"float32"}
    np.testing.assert_array_equal(rates, curve(steps).astype(np.float32))


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_a_compiled_schedule_equals_its_curve_at_each_step(form: tuple[Any, Any], jit_compile: bool) -> None:
    schedule, curve = form
    rates = tf.function(schedule, jit_compile=jit_compile)(tf.constant(LONG))
    np.testing.assert_array_equal(rates, curve(LONG).astype(np.float32))


@pytest.mark.parametrize("mode", ["exp_range", "exp_range_boundaries"])
def test_the_decay_is_exact_in_a_long_run(mode: Any) -> None:
    """`gamma ** step` in float32 would have an error of 0.1 % here."""
    curve = Cyclic(**CYCLE, mode=mode, gamma=0.99995)
    steps = np.arange(60_000, 70_000, 7)
    np.testing.assert_array_equal(tf.function(CurveSchedule(curve))(tf.constant(steps)), curve(steps).astype("float32"))


@pytest.mark.parametrize("steps_per_epoch", [41, 61, 107, 176])
def test_a_compiled_decay_falls_at_the_first_step_of_an_epoch(steps_per_epoch: int) -> None:
    schedule = InverseTimeDecaySchedule(initial_lr=0.01, steps_per_epoch=steps_per_epoch)
    epochs = np.arange(300)
    for steps in (epochs * steps_per_epoch, (epochs + 1) * steps_per_epoch - 1):
        rates = tf.function(schedule)(tf.constant(steps, tf.int64))
        np.testing.assert_array_equal(rates, (0.01 / (1 + 0.1 * epochs)).astype(np.float32))


@pytest.mark.parametrize(("t_mul", "first"), [(1.0, 41), (1.0, 107), (2.0, 7), (2.0, 1000), (3.0, 3), (1.3, 10)])
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_a_compiled_restart_is_at_its_exact_step(t_mul: float, first: int, jit_compile: bool) -> None:
    curve = CosineRestarts(0.4, first, t_mul)
    starts = np.cumsum(first * t_mul ** np.arange(8)).astype(int)
    steps = np.concatenate([starts - 1, starts, starts + 1])
    rates = tf.function(CurveSchedule(curve), jit_compile=jit_compile)(tf.constant(steps))
    np.testing.assert_array_equal(rates, curve(steps).astype(np.float32))


def test_a_configuration_makes_the_same_schedule_again(form: tuple[Any, Any]) -> None:
    schedule, _ = form
    config = schedule.get_config()
    again = type(schedule).from_config(config)
    assert again.get_config() == config
    assert again.curve == schedule.curve
    assert type(schedule).from_config({**config, "name": "mine"}).get_config()["name"] == "mine"


def test_keras_serializes_a_schedule(form: tuple[Any, Any]) -> None:
    schedule, _ = form
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("curve", "form"),
    [(Cyclic, CyclicSchedule), (Cyclic, CyclicLR), (OneCycle, OneCycleSchedule), (OneCycle, OneCycleLR),
     (InverseTimeDecay, InverseTimeDecaySchedule)],
)  # fmt: skip
def test_schedules_and_callbacks_begin_with_the_arguments_and_defaults_of_their_curve(curve: Any, form: Any) -> None:
    of_curve, of_form = (list(inspect.signature(each).parameters.values()) for each in (curve, form))
    shared = list(zip(of_form, of_curve, strict=False))
    assert [form.name for form, _ in shared] == [curve.name for _, curve in shared] == [each.name for each in of_curve]
    lengths = ("step_size", "total_steps")  # a callback takes them from `fit`
    assert all(form.default == curve.default for form, curve in shared if form.name not in lengths)


def test_a_schedule_has_the_checks_of_its_curve() -> None:
    with pytest.raises(SettingsError, match="less than `max_lr`"):
        CyclicSchedule(base_lr=1.0, max_lr=0.1, step_size=4)
    with pytest.raises(SettingsError, match="use `Cyclic` or `OneCycle`"):
        InverseTimeDecaySchedule(0.1, 8).momentum(0.85, 0.95)


@pytest.mark.parametrize("value", [0.1, CyclicSchedule(**CYCLE), keras.optimizers.schedules.CosineDecay(0.1, 100)])
def test_a_schedule_needs_a_curve(value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"`curve` must be a curve.*Received: {type(value).__name__}"):
        CurveSchedule(value)


@pytest.mark.parametrize("steps", [0, -1])
def test_gradient_accumulation_steps_below_one_are_refused(steps: int) -> None:
    with pytest.raises(SettingsError, match=f"`gradient_accumulation_steps` must be .* Received: {steps}"):
        CyclicSchedule(**CYCLE, gradient_accumulation_steps=steps)


class Displacement(keras.callbacks.Callback):
    """Records the weight after each execution. With a gradient of 1 it is minus the sum of the rates so far."""

    def __init__(self) -> None:
        super().__init__()
        self.distances: list[float] = [0.0]

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.distances.append(-float(self.model.get_weights()[0][0, 0]))


def rates_of_training(optimizer: keras.Optimizer, batches: int, **compile_arguments: Any) -> np.ndarray:
    """The rates that training used, summed over each execution: differences of a weight whose gradient is 1."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizer, loss=lambda _, output: output, **compile_arguments)
    displacement = Displacement()
    ones = np.ones((batches, 1), "float32")
    model.fit(ones, ones, batch_size=1, shuffle=False, verbose=0, callbacks=[displacement])
    return np.diff(displacement.distances)


@pytest.mark.parametrize(
    ("schedule", "jit_compile"),
    [(CyclicSchedule(**CYCLE, mode="triangular2"), True), (OneCycleSchedule(0.4, 20), False)],
)
def test_several_steps_in_one_execution_each_have_their_rate(schedule: CurveSchedule, jit_compile: bool) -> None:
    taken = rates_of_training(keras.optimizers.SGD(schedule), 20, steps_per_execution=4, jit_compile=jit_compile)
    np.testing.assert_allclose(taken, schedule.curve(np.arange(20)).reshape(5, 4).sum(axis=1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("accumulated", [2, 3])
def test_under_gradient_accumulation_each_update_has_its_rate(accumulated: int) -> None:
    schedule = CyclicSchedule(**CYCLE, gradient_accumulation_steps=accumulated)
    optimizer = keras.optimizers.SGD(schedule, gradient_accumulation_steps=accumulated)
    taken = rates_of_training(optimizer, 12 * accumulated).reshape(12, accumulated)
    np.testing.assert_allclose(taken[:, -1], Cyclic(**CYCLE)(np.arange(12)), rtol=1e-4)
    np.testing.assert_array_equal(taken[:, :-1], 0)


def test_without_the_accumulation_steps_a_schedule_runs_too_fast() -> None:
    """The reason for the argument. If this fails, Keras counts updates and the argument can be removed."""
    taken = rates_of_training(keras.optimizers.SGD(CyclicSchedule(**CYCLE), gradient_accumulation_steps=2), 16)
    np.testing.assert_allclose(taken[1::2], Cyclic(**CYCLE)(np.arange(1, 16, 2)), rtol=1e-4)


def test_a_saved_model_continues_its_schedule(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    schedule = CurveSchedule(Warmup(Cyclic(**CYCLE), 2, 0.001))
    model = make_line(keras.optimizers.SGD(schedule, momentum=0.9))
    model.fit(*line, batch_size=4, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert schedule_of(again.optimizer).curve == schedule.curve
    for each in (model, again):
        each.fit(*line, batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
