"""Records each step: the loss of its batch alone, its learning rate and its momentum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.backend import train_function
from lrdiag.errors import ModelError
from lrdiag.policies.finder import LRFinder
from lrdiag.policies.schedules import CyclicSchedule, OneCycleSchedule
from lrdiag.policies.sgd import SGD
from lrdiag.rate.curves import Cyclic
from lrdiag.training.recorder import StepRecorder

BATCH_SIZE = 4
PENALTY = 0.05
RATE = 0.1


@pytest.fixture(autouse=True)
def _compiled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short runs are measured as long ones are. Eager models and several steps in one execution can't be."""
    monkeypatch.setattr(train_function, "_STEPS_PER_VARIABLE", 0)


def batches(*arrays: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Of four, four and two."""
    starts = range(0, len(arrays[0]), BATCH_SIZE)
    return [tuple(array[start : start + BATCH_SIZE] for array in arrays) for start in starts]


@pytest.fixture(params=[False, True], ids=["plain", "sample-weights"])
def weighted(request: pytest.FixtureRequest, line: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Inputs and targets, with or without a weight for each."""
    weights = np.linspace(0.1, 3.0, len(line[0]), dtype="float32")
    return (*line, weights) if request.param else line


def record(model: keras.Model, arrays: tuple[np.ndarray, ...], epochs: int = 1, **arguments: Any) -> StepRecorder:
    inputs, targets, *weights = arrays
    recorder = StepRecorder()
    model.fit(
        inputs,
        targets,
        sample_weight=weights[0] if weights else None,
        **{"batch_size": BATCH_SIZE, "epochs": epochs, "shuffle": False, "verbose": 0, **arguments},
        callbacks=[recorder],
    )
    return recorder


def test_each_loss_is_that_of_its_batch_computed_by_hand(
    make_line: Callable[..., keras.Model], weighted: tuple[np.ndarray, ...]
) -> None:
    """Stochastic gradient descent in numpy; the last batch is short, and the penalty counts."""
    kernel = np.array([[1.0], [-2.0]])
    expected = []
    for inputs, targets, *given in batches(*weighted) * 2:
        weights = given[0][:, None] if given else np.ones_like(targets)
        error = inputs @ kernel - targets
        expected.append(float(np.mean(weights * error**2) + PENALTY * np.sum(kernel**2)))
        gradient = 2 * inputs.T @ (weights * error) / len(inputs) + 2 * PENALTY * kernel
        kernel = kernel - RATE * gradient
    model = make_line(keras.optimizers.SGD(RATE), penalty=PENALTY)
    np.testing.assert_allclose(record(model, weighted, epochs=2).losses, expected, rtol=2e-5)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=2e-5)


def test_each_loss_is_that_of_train_on_batch(
    make_line: Callable[..., keras.Model], weighted: tuple[np.ndarray, ...]
) -> None:
    twin = make_line(penalty=PENALTY)
    expected = []
    for inputs, targets, *weights in batches(*weighted):
        twin.reset_metrics()
        expected.append(float(twin.train_on_batch(inputs, targets, weights[0] if weights else None)))
    recorder = record(make_line(penalty=PENALTY), weighted)
    np.testing.assert_allclose(recorder.losses, expected, rtol=1e-6)


def test_the_history_stays_the_same(make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]) -> None:
    histories = []
    for callbacks in ([], [StepRecorder()]):
        model = make_line(penalty=PENALTY, metrics=["mae"])
        history = model.fit(
            *line, batch_size=BATCH_SIZE, epochs=3, shuffle=False, verbose=0, validation_split=0.2, callbacks=callbacks
        )
        histories.append(history.history)
    alone, recorded = histories
    assert recorded.keys() == alone.keys()
    for name, values in alone.items():
        np.testing.assert_allclose(recorded[name], values, rtol=1e-6, err_msg=name)


def test_training_is_bit_identical_with_and_without_a_recorder(line: tuple[np.ndarray, np.ndarray]) -> None:
    """With the random numbers of dropout and the statistics of the batches."""
    weights = []
    for callbacks in ([], [StepRecorder()]):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
        model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(CyclicSchedule(0.01, 0.1, 3)), "mse", metrics=["mae"])
        model.fit(*line, batch_size=BATCH_SIZE, epochs=3, verbose=0, callbacks=callbacks)
        weights.append([*model.get_weights(), *map(np.asarray, model.optimizer.variables)])
    for alone, recorded in zip(*weights, strict=True):
        np.testing.assert_array_equal(recorded, alone)


class SetRate(keras.callbacks.Callback):
    """Sets the rate of each step."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 0.5**batch


def test_the_rate_that_a_later_callback_sets_is_recorded(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    recorder = StepRecorder()
    make_line().fit(*line, batch_size=BATCH_SIZE, verbose=0, callbacks=[recorder, SetRate()])
    assert recorder.learning_rates == [1.0, 0.5, 0.25]


class Logs(keras.callbacks.Callback):
    """Records the loss in the logs of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.losses.append((logs or {})["loss"])


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_other_callbacks_get_the_usual_logs_at_any_position(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray], jit_compile: bool
) -> None:
    alone, *beside = (Logs() for _ in range(3))
    for callbacks in ([alone], [beside[0], StepRecorder(), beside[1]]):
        model = make_line(jit_compile=jit_compile)
        model.fit(*line, batch_size=BATCH_SIZE, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    for logs in beside:
        np.testing.assert_allclose(logs.losses, alone.losses, rtol=1e-6)


@pytest.mark.parametrize(
    ("rate", "recorder_first"),
    [(RATE, True), (CyclicSchedule(0.01, 0.1, 3), True), (CyclicSchedule(0.01, 0.1, 3), False)],
)
def test_a_range_test_in_the_same_fit_gives_the_same_result(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray], recorder_first: bool, rate: Any
) -> None:
    """It resets the metrics before each batch, and compiles the step again if the rate is a schedule."""
    alone, beside, recorder = LRFinder(end_lr=0.1), LRFinder(end_lr=0.1), StepRecorder()
    for callbacks in ([alone], [recorder, beside] if recorder_first else [beside, recorder]):
        model = make_line(keras.optimizers.SGD(rate))
        model.fit(*line, batch_size=BATCH_SIZE, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)
    assert beside.result() == alone.result()
    np.testing.assert_allclose(recorder.losses, alone.result().losses, rtol=1e-6)


def test_two_recorders_record_the_same(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    recorders = [StepRecorder(), StepRecorder()]
    make_line().fit(*line, batch_size=BATCH_SIZE, epochs=2, verbose=0, callbacks=recorders)
    assert recorders[0].losses == recorders[1].losses


@pytest.mark.filterwarnings("ignore:.*ran out of data:UserWarning")
def test_at_the_end_of_data_of_unknown_length_no_step_is_recorded(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    """Keras begins a batch there that doesn't exist."""
    data = tf.data.Dataset.from_tensor_slices(line).batch(BATCH_SIZE).filter(lambda *batch: True)
    recorder, histories = StepRecorder(), []
    for callbacks in ([], [recorder]):
        model = make_line(SGD(RATE))
        histories.append(model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=callbacks).history["loss"])
    assert histories[1] == pytest.approx(histories[0], rel=1e-6)
    assert [len(each) for each in (recorder.losses, recorder.learning_rates, recorder.momentums)] == [6, 6, 6]


@pytest.mark.parametrize("choice", [keras.optimizers.OptimizerMap, lambda optimizer: lambda variable: optimizer])
def test_of_several_optimizers_the_rate_of_the_first_is_recorded(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray], choice: Callable[..., Any]
) -> None:
    several = keras.optimizers.MultiOptimizer(choice(keras.optimizers.SGD(0.25)))
    assert record(make_line(several), line).learning_rates == [0.25] * 3


def test_an_error_in_a_step_leaves_the_train_function_unchanged(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    model = make_line(run_eagerly=True)
    record(model, line)
    before = model.train_function
    with pytest.raises(ValueError, match=r"."):
        record(model, (line[0][:, :1], line[1]))
    assert model.train_function == before


def test_a_loss_that_is_not_finite_changes_no_earlier_one(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    inputs = line[0].copy()
    inputs[4] = math.nan
    recorder = record(make_line(keras.optimizers.SGD(1e-12)), (inputs, line[1]), epochs=1)
    assert [math.isfinite(loss) for loss in recorder.losses] == [True, False, False]


def test_the_recorded_rates_equal_the_schedule(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    cycle = {"base_lr": 0.01, "max_lr": 0.1, "step_size": 3}
    model = make_line(keras.optimizers.SGD(CyclicSchedule(**cycle)))
    rates = record(model, line, epochs=3).learning_rates
    np.testing.assert_allclose(rates, Cyclic(**cycle)(np.arange(9)), rtol=1e-6)


@pytest.mark.parametrize("accumulated", [1, 2])
def test_rate_and_momentum_are_bit_identical_to_the_schedules_in_the_graph(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray], accumulated: int
) -> None:
    rate = OneCycleSchedule(max_lr=0.1, total_steps=8, gradient_accumulation_steps=accumulated)
    momentum = rate.momentum(0.85, 0.95)
    optimizer = SGD(rate, momentum, gradient_accumulation_steps=accumulated if accumulated > 1 else None)
    recorder = record(make_line(optimizer), line, epochs=3)
    for recorded, schedule in [(recorder.learning_rates, rate), (recorder.momentums, momentum)]:
        np.testing.assert_array_equal(recorded, tf.function(schedule)(tf.range(9, dtype=tf.int64)))
    assert recorder.momentums[0] == pytest.approx(0.95)
    assert min(recorder.momentums) < 0.89


def test_the_rate_of_a_keras_schedule_is_recorded(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
    rates = record(make_line(keras.optimizers.SGD(decay)), line).learning_rates
    assert rates == pytest.approx([0.1, 0.05, 0.025])


@pytest.mark.parametrize(
    ("optimizer", "momentums"), [(keras.optimizers.SGD(0.1, momentum=0.9), [0.9] * 3), (keras.optimizers.Adam(0.1), [])]
)
def test_a_constant_momentum_is_recorded(
    make_line: Callable[..., keras.Model],
    line: tuple[np.ndarray, np.ndarray],
    optimizer: keras.Optimizer,
    momentums: list[float],
) -> None:
    assert record(make_line(optimizer), line).momentums == momentums


def test_several_steps_in_one_execution_are_recorded_as_one(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    """Batches of four, four and two: the first execution makes two steps, the second the third."""
    single = record(make_line(), line, epochs=2)
    several = record(make_line(steps_per_execution=2), line, epochs=2)
    means = [np.average(single.losses[start : start + 2], weights=[4, 4]) for start in (0, 3)]
    np.testing.assert_allclose(several.losses, [means[0], single.losses[2], means[1], single.losses[5]], rtol=1e-5)
    assert several.learning_rates == pytest.approx([RATE] * 4)


def test_of_several_steps_the_rate_of_the_first_is_recorded(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    cycle = {"base_lr": 0.01, "max_lr": 0.1, "step_size": 3}
    model = make_line(keras.optimizers.SGD(CyclicSchedule(**cycle)), steps_per_execution=2)
    rates = record(model, line, epochs=2).learning_rates
    np.testing.assert_allclose(rates, Cyclic(**cycle)(np.array([0, 2, 3, 5])), rtol=1e-6)


class OwnStep(keras.Model):  # type: ignore[misc]
    """Updates the loss tracker as in Keras's guide to custom training steps, or not."""

    def __init__(self, tracks: bool) -> None:
        super().__init__()
        self.dense, self.tracks = keras.layers.Dense(1), tracks

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, data: Any) -> Any:
        inputs, targets = data
        if self.tracks:
            next(metric for metric in self.metrics if metric.name == "loss").update_state(7.0)
        return {"loss": keras.ops.mean(self(inputs) - targets)}


class WithoutMetrics(keras.Sequential):  # type: ignore[misc]
    """Has no metrics."""

    @property
    def metrics(self) -> list[keras.Metric]:
        return []


def test_metrics_without_a_loss_are_refused(line: tuple[np.ndarray, np.ndarray]) -> None:
    model = WithoutMetrics([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ModelError, match="Received: no metric of that name"):
        record(model, line)


def test_a_custom_step_is_recorded_if_it_updates_the_loss_tracker(line: tuple[np.ndarray, np.ndarray]) -> None:
    tracking, silent = OwnStep(tracks=True), OwnStep(tracks=False)
    for model in (tracking, silent):
        model.compile("sgd", run_eagerly=True)
    assert record(tracking, line).losses == [7.0] * 3
    with pytest.raises(
        ModelError, match=r"must be named `loss`, and a custom `train_step` must update it.*Received: a step"
    ):
        record(silent, line)
