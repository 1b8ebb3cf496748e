"""One formula, three forms: the curve, the Keras schedule and the callback agree at every step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.errors import SettingsError
from lrdiag.rate.curves import InverseTimeDecay, OneCycle, Triangular
from lrdiag.rate.schedules import CyclicLR, CyclicSchedule, InverseTimeDecaySchedule, OneCycleSchedule

CYCLE = {"base_lr": 0.01, "max_lr": 0.1, "step_size": 4}
FORMS = [
    (CyclicSchedule, Triangular, CYCLE),
    (CyclicSchedule, Triangular, {**CYCLE, "step_size": 2.5}),
    (OneCycleSchedule, OneCycle, {"max_lr": 0.4, "total_steps": 99}),
    (OneCycleSchedule, OneCycle, {"max_lr": 0.4, "total_steps": 10, "pct_start": 0.3, "div_factor": 4.0}),
    (InverseTimeDecaySchedule, InverseTimeDecay, {"initial_lr": 0.01, "steps_per_epoch": 7, "decay": 0.3}),
]


@pytest.fixture(params=FORMS, ids=lambda form: f"{form[1].__name__}-{'-'.join(f'{v:g}' for v in form[2].values())}")
def form(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A schedule and its curve."""
    schedule_class, curve_class, arguments = request.param
    return schedule_class(**arguments), curve_class(**arguments)


class Probe(keras.callbacks.Callback):
    """Notes the rate with which each update is made."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.rates.append(float(self.model.optimizer.learning_rate))


def test_a_schedule_is_its_curve_at_every_step(form: tuple[Any, Any]) -> None:
    schedule, curve = form
    rates = [schedule(keras.ops.convert_to_tensor(step, "int64")) for step in range(120)]
    assert {tuple(rate.shape) for rate in rates} == {()}
    assert {keras.backend.standardize_dtype(rate.dtype) for rate in rates} == {"float32"}
    np.testing.assert_allclose([float(rate) for rate in rates], curve(np.arange(120)), rtol=3e-6, atol=1e-7)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_a_compiled_schedule_is_its_curve_at_every_step(form: tuple[Any, Any], jit_compile: bool) -> None:
    schedule, curve = form
    rates = tf.function(schedule, jit_compile=jit_compile)(tf.range(120, dtype=tf.int64))
    np.testing.assert_allclose(rates, curve(np.arange(120)), rtol=3e-6, atol=1e-7)


@pytest.mark.parametrize("steps_per_epoch", [41, 61, 107, 176])
def test_a_compiled_decay_falls_at_the_first_step_of_an_epoch(steps_per_epoch: int) -> None:
    schedule = InverseTimeDecaySchedule(initial_lr=0.01, steps_per_epoch=steps_per_epoch)
    epochs = np.arange(300)
    for steps in (epochs * steps_per_epoch, (epochs + 1) * steps_per_epoch - 1):
        rates = tf.function(schedule)(tf.constant(steps, tf.int64))
        np.testing.assert_allclose(rates, 0.01 / (1 + 0.1 * epochs), rtol=1e-6)


def test_a_configuration_makes_the_same_schedule_again(form: tuple[Any, Any]) -> None:
    schedule, curve = form
    config = schedule.get_config()
    again = type(schedule).from_config(config)
    assert again.get_config() == config
    assert again.curve == curve
    assert type(schedule)(**{**config, "name": "mine"}).get_config()["name"] == "mine"


def test_keras_serializes_a_schedule(form: tuple[Any, Any]) -> None:
    schedule, _ = form
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()


def test_a_schedule_refuses_what_its_curve_refuses() -> None:
    with pytest.raises(SettingsError, match="less than `max_lr`"):
        CyclicSchedule(base_lr=1.0, max_lr=0.1, step_size=4)


@pytest.fixture
def fit(line: tuple[np.ndarray, np.ndarray]) -> Callable[..., None]:
    """Trains on batches of four, four and two."""

    def run(model: keras.Model, epochs: int, *callbacks: keras.callbacks.Callback) -> None:
        model.fit(*line, batch_size=4, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))

    return run


def test_a_saved_model_goes_on_in_mid_schedule(
    make_line: Callable[..., keras.Model], fit: Callable[..., None], tmp_path: Path
) -> None:
    model = make_line(keras.optimizers.SGD(CyclicSchedule(**CYCLE), momentum=0.9))
    fit(model, 2)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert float(again.optimizer.learning_rate) == float(model.optimizer.learning_rate)
    for each in (model, again):
        fit(each, 1)
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])


def test_the_callback_is_the_curve_at_every_step_and_goes_on_in_mid_cycle(
    make_line: Callable[..., keras.Model], fit: Callable[..., None]
) -> None:
    model, probe = make_line(), Probe()
    fit(model, 2, CyclicLR(**CYCLE), probe)
    fit(model, 3, CyclicLR(**CYCLE), probe)
    np.testing.assert_allclose(probe.rates, Triangular(**CYCLE)(np.arange(15)), rtol=1e-6)


def test_the_callback_trains_as_the_schedule_does(
    make_line: Callable[..., keras.Model], fit: Callable[..., None]
) -> None:
    by_callback, by_schedule = make_line(), make_line(keras.optimizers.SGD(CyclicSchedule(**CYCLE)))
    fit(by_callback, 3, CyclicLR(**CYCLE))
    fit(by_schedule, 3)
    np.testing.assert_allclose(by_callback.get_weights()[0], by_schedule.get_weights()[0], rtol=1e-5)


@pytest.mark.parametrize("arguments", [{"max_lr": 0.01}, {"step_size": 0}, {"base_lr": -1}])
def test_the_callback_refuses_what_its_curve_refuses(arguments: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="Received"):
        CyclicLR(**{**CYCLE, **arguments})


def test_the_callback_refuses_an_optimizer_that_has_a_schedule(
    make_line: Callable[..., keras.Model], fit: Callable[..., None]
) -> None:
    model = make_line(keras.optimizers.SGD(OneCycleSchedule(max_lr=0.1, total_steps=10)))
    with pytest.raises(SettingsError, match=r"CyclicLR.*plain number.*Received: OneCycleSchedule"):
        fit(model, 1, CyclicLR(**CYCLE))


def test_the_callback_refuses_several_steps_in_one_execution(
    make_line: Callable[..., keras.Model], fit: Callable[..., None]
) -> None:
    with pytest.raises(SettingsError, match=r"CyclicLR.*Received: steps_per_execution=2"):
        fit(make_line(steps_per_execution=2), 1, CyclicLR(**CYCLE))
