"""The range test: what it measures, when it stops, and that it restores everything."""

from __future__ import annotations

import functools
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.backend.optimizers import schedule_of
from lrdiag.errors import ModelError, SettingsError
from lrdiag.policies.finder import LRFinder, find_lr
from lrdiag.rate.curves import ExponentialSweep, LinearSweep
from lrdiag.rate.range_test import RangeTest


def sgd(rate: Any = 0.05, **arguments: Any) -> keras.Optimizer:
    return keras.optimizers.SGD(rate, momentum=0.9, **arguments)


def several() -> keras.Optimizer:
    by_variable = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.05), {".*kernel": keras.optimizers.Adam(0.01)})
    return keras.optimizers.MultiOptimizer(by_variable)


SCHEDULE = keras.optimizers.schedules.CosineDecay(0.1, 20)
# optimizers, and arguments of `compile`
SETUPS: dict[str, tuple[Callable[[], keras.Optimizer], dict[str, Any]]] = {
    "sgd": (sgd, {}),
    "several-steps-in-one-execution": (sgd, {"steps_per_execution": 3}),
    "averaged-weights": (lambda: sgd(use_ema=True), {}),
    "loss-scale-with-accumulation": (
        lambda: keras.optimizers.LossScaleOptimizer(sgd(gradient_accumulation_steps=2)),
        {},
    ),
    "loss-scale-with-schedule": (lambda: keras.optimizers.LossScaleOptimizer(sgd(SCHEDULE)), {}),
    "several-optimizers": (several, {}),
}
SLOW_SETUPS = {
    "compiled-by-xla": (sgd, {"jit_compile": True}),
    "schedule": (lambda: sgd(SCHEDULE), {}),
    "accumulation": (lambda: sgd(gradient_accumulation_steps=2), {}),
    "loss-scale": (lambda: keras.optimizers.LossScaleOptimizer(sgd()), {}),
}
SWEEP = {"iterations": 12, "batch_size": 8}


class Interrupted(Exception):
    """Raised by `on_step`."""


def raising(error: type[BaseException]) -> Callable[[float], None]:
    steps = iter(range(100))

    def on_step(loss: float) -> None:
        if next(steps) == 5:
            raise error

    return on_step


class Laboratory:
    """A model with everything that training changes. It is reset without using lrdiag."""

    def __init__(self, optimizer: keras.Optimizer, **compile_arguments: Any) -> None:
        keras.utils.set_random_seed(0)
        generator = np.random.default_rng(0)
        self.inputs = generator.normal(size=(48, 4)).astype("float32")
        self.labels = generator.integers(0, 3, size=48)
        self.model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8),
                keras.layers.BatchNormalization(),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(3),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(optimizer, loss=loss, metrics=["accuracy"], **compile_arguments)
        self.model.optimizer.build(self.model.trainable_variables)
        variables = (*self.model.variables, *self.model.optimizer.variables)
        self._start = [(variable, variable.numpy()) for variable in variables]
        self.undisturbed = functools.cache(self._undisturbed)

    def reset(self) -> None:
        """Restores the model's first state."""
        keras.utils.set_random_seed(0)
        for variable, value in self._start:
            variable.assign(value)

    def sweep(self, **arguments: Any) -> RangeTest:
        return find_lr(self.model, self.inputs, self.labels, **{**SWEEP, **arguments})

    def fit(self, shuffle: bool = False, **arguments: Any) -> dict[str, list[float]]:
        return self.model.fit(
            self.inputs, self.labels, batch_size=8, epochs=2, shuffle=shuffle, verbose=0, **arguments
        ).history

    def _undisturbed(self, shuffle: bool) -> tuple[dict[str, list[float]], list[np.ndarray]]:
        """The losses and all variables after training from the first state."""
        self.reset()
        losses, variables = self.fit(shuffle), self.everything()
        self.reset()
        return losses, variables

    def everything(self) -> list[np.ndarray]:
        """Each variable of the model and of its optimizer."""
        return [variable.numpy() for variable, _ in self._start]


def set_up(name: str) -> Laboratory:
    make_optimizer, compile_arguments = (SETUPS | SLOW_SETUPS)[name]
    return Laboratory(make_optimizer(), **compile_arguments)


@pytest.fixture(scope="module")
def one() -> Laboratory:
    return set_up("sgd")


@pytest.fixture
def lab(one: Laboratory) -> Laboratory:
    one.reset()
    return one


@pytest.fixture
def half_precision() -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


def diverge(lab: Laboratory) -> None:
    assert lab.sweep(end_lr=1e6, diverge_factor=1.5, smoothing=0.0).stop_reason == "the loss diverged"


def stumble(error: type[BaseException]) -> Callable[[Laboratory], None]:
    def run(lab: Laboratory) -> None:
        with pytest.raises(error):
            lab.sweep(on_step=raising(error))

    return run


def assert_identical(values: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for value, kept in zip(values, expected, strict=True):
        np.testing.assert_array_equal(value, kept)


SWEEPS = {
    "complete": lambda lab: lab.sweep(),
    "diverged": diverge,
    "not-finite": lambda lab: lab.sweep(start_lr=1e20, end_lr=1e30, diverge_factor=math.inf),
    "on-step-raises": stumble(Interrupted),
    "interrupted": stumble(KeyboardInterrupt),
    "repeated": lambda lab: lab.sweep(repeats=2),
    "validated": lambda lab: lab.sweep(validation_data=(lab.inputs[:8], lab.labels[:8])),
    "linear": lambda lab: lab.sweep(mode="linear", end_lr=0.1),
    "as-callback": lambda lab: lab.fit(callbacks=[LRFinder(iterations=9)]),
    "as-callback-beside-one-that-raises": lambda lab: fit_and_stumble(lab),
}


def fit_and_stumble(lab: Laboratory) -> None:
    """Keras then doesn't call `on_train_end`."""
    stumbling = keras.callbacks.LambdaCallback(on_train_batch_end=raising_batch(Interrupted))
    with pytest.raises(Interrupted), LRFinder(iterations=9) as finder:
        lab.fit(callbacks=[finder, stumbling])
    assert finder.result().iterations >= 5


def raising_batch(error: type[BaseException]) -> Callable[[int, Any], None]:
    raise_in_time = raising(error)
    return lambda batch, logs: raise_in_time(0.0)


@pytest.mark.parametrize(
    ("sweep", "shuffle"),
    [pytest.param(sweep, False, id=name) for name, sweep in SWEEPS.items()]
    + [pytest.param(SWEEPS["complete"], True, id="complete-shuffled")],
)
def test_training_after_a_sweep_equals_training_without_one(
    lab: Laboratory, sweep: Callable[[Laboratory], Any], shuffle: bool
) -> None:
    """Bit-identical: losses, weights, batch-norm statistics, dropout seeds, slots, step count and rate."""
    expected_losses, expected = lab.undisturbed(shuffle)
    before = lab.everything()
    sweep(lab)
    assert_identical(lab.everything(), before)
    assert lab.fit(shuffle) == expected_losses
    assert_identical(lab.everything(), expected)


def test_a_sweep_really_trains(lab: Laboratory) -> None:
    """Otherwise the tests above would prove nothing."""
    during: list[np.ndarray] = []
    lab.sweep(on_step=lambda loss: during.append(lab.model.get_weights()[0]))
    assert len(during) == 12
    assert (during[-1] != lab.model.get_weights()[0]).any()


def draw(loss: float = 0.0) -> tuple[float, ...]:
    """Draws from Python, numpy and Keras."""
    return random.random(), float(np.random.random()), float(keras.random.uniform(()))  # noqa: NPY002


@pytest.mark.parametrize("drawn_before", [True, False])
def test_the_random_states_are_restored(lab: Laboratory, drawn_before: bool) -> None:
    """Also if Keras's global seed generator doesn't exist yet, as after `keras.utils.set_random_seed`."""
    drawn = []
    for swept in (False, True):
        lab.reset()
        if drawn_before:
            draw()
        if swept:
            lab.sweep(on_step=draw)
        drawn.append(draw())
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("stop_training", [False, True])
def test_history_and_stop_training_are_restored(lab: Laboratory, stop_training: bool) -> None:
    lab.fit()
    history = lab.model.history
    lab.model.stop_training = stop_training
    lab.sweep()
    assert lab.model.history is history
    assert lab.model.stop_training is stop_training


def test_the_learning_rate_is_restored(lab: Laboratory) -> None:
    before = float(lab.model.optimizer.learning_rate)
    lab.sweep(end_lr=1e3)
    assert float(lab.model.optimizer.learning_rate) == before


@pytest.mark.parametrize(
    "setup",
    [
        *(name for name in SETUPS if name != "sgd"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_SETUPS),
    ],
)
def test_each_kind_of_training_is_restored(setup: str) -> None:
    lab = set_up(setup)
    expected_losses, expected = lab.undisturbed(False)
    test = lab.sweep(end_lr=0.5)
    assert (test.iterations, test.stop_reason) == (12, "the last learning rate was reached")
    assert lab.fit() == expected_losses
    assert_identical(lab.everything(), expected)


def test_a_sweep_during_training_changes_nothing(lab: Laboratory) -> None:
    """From a callback, in the middle of an epoch. The metrics of the epoch continue too."""
    expected_losses, expected = lab.undisturbed(False)
    tests: list[RangeTest] = []

    def sweep_now(batch: int, logs: Any) -> None:
        if batch == 2:
            tests.append(lab.sweep(end_lr=0.5))

    assert lab.fit(callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=sweep_now)]) == expected_losses
    assert_identical(lab.everything(), expected)
    assert len(tests) == 2
    assert tests[0] != tests[1]


def test_a_finder_needs_a_model_that_is_built(lab: Laboratory) -> None:
    model = keras.Sequential([keras.layers.Dense(3)])
    model.compile("sgd", loss="mse")
    with pytest.raises(ModelError, match=r"`keras.Input`.*Received: a model that is not built"):
        model.fit(lab.inputs, np.zeros((48, 3)), verbose=0, callbacks=[LRFinder()])


def test_a_schedule_is_replaced_during_the_sweep_and_restored(lab: Laboratory) -> None:
    """A compiled step that still followed the schedule would give other losses."""
    scheduled = set_up("loss-scale-with-schedule")
    swept = scheduled.sweep(end_lr=0.5)
    assert schedule_of(scheduled.model.optimizer.inner_optimizer) is SCHEDULE
    np.testing.assert_allclose(swept.losses, lab.sweep(end_lr=0.5).losses, rtol=1e-4)


def test_the_rates_of_several_optimizers_keep_their_ratio() -> None:
    lab = set_up("several-optimizers")
    first, second = lab.model.optimizer.optimizers
    climbed: list[tuple[float, float]] = []
    test = lab.sweep(on_step=lambda loss: climbed.append((float(first.learning_rate), float(second.learning_rate))))
    ratio = float(second.learning_rate) / float(first.learning_rate)
    np.testing.assert_allclose(climbed, [(rate, ratio * rate) for rate in test.learning_rates], rtol=1e-5)


def test_several_optimizers_with_different_updates_are_refused() -> None:
    accumulating = keras.optimizers.SGD(0.05, gradient_accumulation_steps=2)
    by_variable = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.05), {".*kernel": accumulating})
    lab = Laboratory(keras.optimizers.MultiOptimizer(by_variable))
    with pytest.raises(SettingsError, match=r"must have the same `gradient_accumulation_steps`.*Received: 1, 2"):
        lab.sweep()


def test_with_accumulation_each_rate_is_one_update(lab: Laboratory) -> None:
    """Two batches of four equal one batch of eight, up to rounding, without dropout and batch norm."""
    tests = []
    for steps, batch_size in ((None, 8), (2, 4)):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="ones")])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=steps), loss=loss, metrics=["accuracy"])
        tests.append(find_lr(model, lab.inputs, lab.labels, batch_size=batch_size, iterations=12))
    whole, accumulated = tests
    np.testing.assert_allclose(accumulated.losses, whole.losses, rtol=1e-5)
    np.testing.assert_allclose(accumulated.accuracies, whole.accuracies, rtol=1e-6)


def test_the_optimizer_has_the_rates_of_the_sweep(lab: Laboratory) -> None:
    climbed: list[float] = []
    test = lab.sweep(on_step=lambda loss: climbed.append(float(lab.model.optimizer.learning_rate)))
    np.testing.assert_allclose(test.learning_rates, ExponentialSweep(1e-5, 10.0, 12)(np.arange(12)), rtol=1e-12)
    np.testing.assert_allclose(climbed, test.learning_rates, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "endless", "jit_compile"), [(np.linspace(0.1, 3, 10), False, False), (None, True, True)]
)
def test_each_loss_is_that_of_its_batch_alone(
    make_line: Callable[..., keras.Model],
    line: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray | None,
    endless: bool,
    jit_compile: bool,
) -> None:
    """At very low rates, with a short last batch, a penalty and weights, for two passes."""
    model = make_line(penalty=0.05, jit_compile=jit_compile)
    given = line if weights is None else (*line, weights)
    batches = tf.data.Dataset.from_tensor_slices(given).batch(4)
    expected = [model.evaluate(x, y, sample_weight=w[0] if w else None, verbose=0) for x, y, *w in batches]
    data = batches.repeat() if endless else batches
    test = find_lr(model, data, start_lr=1e-12, end_lr=1e-11, iterations=6, diverge_factor=math.inf)
    np.testing.assert_allclose(test.losses, expected * 2, rtol=1e-6)


def test_class_weights_change_the_loss(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    model, labels = make_line(), np.arange(10) % 2
    weights = {0: 0.5, 1: 3.0}
    expected = model.evaluate(line[0], labels, sample_weight=np.array([weights[each] for each in labels]), verbose=0)
    still = {"start_lr": 1e-12, "end_lr": 1e-11, "iterations": 2, "batch_size": 10}
    np.testing.assert_allclose(
        find_lr(model, line[0], labels, class_weight=weights, **still).losses, expected, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("changes", "stop_reason"),
    [
        ({}, "the last learning rate was reached"),
        ({"end_lr": 1e6, "diverge_factor": 1.5}, "the loss diverged"),
        ({"start_lr": 1e20, "end_lr": 1e30, "diverge_factor": math.inf}, "the loss was not finite"),
    ],
)
def test_the_sweep_has_the_reason_why_it_stopped(lab: Laboratory, changes: dict[str, float], stop_reason: str) -> None:
    test = lab.sweep(**changes)
    assert test.stop_reason == stop_reason
    assert (len(test.losses) == 12) == (stop_reason == "the last learning rate was reached")
    assert all(map(math.isfinite, test.losses))
    assert len(test.learning_rates) == len(test.losses) == len(test.smoothed_losses)


DIGIT_LIKE = (np.ones((4, 4), "float32"), np.zeros(4, "int64"))
CHANGES: list[tuple[str, Any]] = [
    ("start_lr", 1e-2), ("end_lr", 1.0), ("iterations", 9), ("smoothing", 0.5), ("diverge_factor", 1.01),
    ("batch_size", 16), ("mode", "linear"), ("repeats", 2), ("sample_weight", np.linspace(0, 1, 48)),
    ("class_weight", {0: 1.0, 1: 2.0, 2: 3.0}), ("validation_data", DIGIT_LIKE),
]  # fmt: skip


@pytest.fixture(scope="module")
def usual(one: Laboratory) -> RangeTest:
    one.reset()
    return one.sweep(end_lr=1e3)


@pytest.mark.parametrize(("argument", "value"), CHANGES)
def test_each_argument_changes_the_result(lab: Laboratory, usual: RangeTest, argument: str, value: Any) -> None:
    assert lab.sweep(**{"end_lr": 1e3, argument: value}) != usual


def test_the_same_sweep_again_gives_the_same_result(lab: Laboratory) -> None:
    assert lab.sweep() == lab.sweep()


def test_on_step_is_called_with_each_loss(lab: Laboratory) -> None:
    losses: list[float] = []
    assert lab.sweep(on_step=losses.append).losses == losses


@pytest.mark.parametrize(
    ("argument", "value"),
    [("smoothing", 1.0), ("diverge_factor", 1.0), ("start_lr", 0.0), ("end_lr", 1e-9), ("iterations", 1),
     ("mode", "cubic")],
)  # fmt: skip
def test_arguments_outside_their_range_are_refused(argument: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"`{argument}`|less than `end_lr`"):
        LRFinder(**{argument: value})


def test_the_callback_refuses_several_steps_in_one_execution(lab: Laboratory) -> None:
    """`find_lr` changes the setting. In the user's own `fit` it is too late for that."""
    several = set_up("several-steps-in-one-execution")
    before = several.everything()
    with pytest.raises(SettingsError, match=r"LRFinder.*Received: steps_per_execution=3"):
        several.fit(callbacks=[LRFinder(iterations=9)])
    assert_identical(several.everything(), before)


def test_updates_that_loss_scaling_skips_do_not_count(half_precision: None) -> None:
    lab = Laboratory(sgd())
    before = lab.everything()
    test = lab.sweep(iterations=10, end_lr=0.1)
    assert (len(test.losses), test.stop_reason) == (10, "the last learning rate was reached")
    assert_identical(lab.everything(), before)


def test_a_loss_that_stays_infinite_in_half_precision_ends_the_sweep(half_precision: None) -> None:
    lab = Laboratory(sgd())
    test = lab.sweep(start_lr=1e3, end_lr=1e9, diverge_factor=math.inf)
    assert len(test.losses) < 12
    assert test.stop_reason == "the loss was not finite"


def test_a_finder_can_sweep_again(lab: Laboratory) -> None:
    finder = LRFinder(iterations=9)
    results = []
    for _ in range(2):
        lab.fit(callbacks=[finder])
        results.append(finder.result())
    assert results[0] == results[1]


def test_a_linear_sweep_has_linear_rates(lab: Laboratory) -> None:
    test = lab.sweep(mode="linear", end_lr=0.1)
    np.testing.assert_allclose(test.learning_rates, LinearSweep(1e-5, 0.1, 12)(np.arange(12)), rtol=1e-12)


def test_accuracy_is_that_of_each_batch_alone(lab: Laboratory) -> None:
    """At very low rates, with a short last batch, for two passes."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="ones")])
    model.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    batches = tf.data.Dataset.from_tensor_slices((lab.inputs, lab.labels)).batch(32)
    test = find_lr(model, batches, start_lr=1e-12, end_lr=1e-11, iterations=4)
    hits = model.predict(lab.inputs, verbose=0).argmax(axis=1) == lab.labels
    np.testing.assert_allclose(test.accuracies, [hits[:32].mean(), hits[32:].mean()] * 2, rtol=1e-6)


def test_without_an_accuracy_there_is_none(make_line: Callable[..., keras.Model], line: Any) -> None:
    assert find_lr(make_line(), *line, iterations=3).accuracies == []


def test_the_validation_loss_is_measured_after_each_update(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    """With the same batch for both, the validation loss after an update is the next batch's loss before its own."""
    test = find_lr(make_line(), *line, batch_size=10, iterations=8, end_lr=0.1, validation_data=line)
    np.testing.assert_allclose(test.val_losses[:-1], test.losses[1:], rtol=1e-5)


def test_a_validation_loss_that_is_not_finite_ends_the_sweep(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    """The loss of the batch, before the update, is finite."""
    test = find_lr(make_line(), *line, iterations=3, start_lr=0.1, end_lr=1e25, validation_data=line)
    assert test.stop_reason == "the loss was not finite"
    assert len(test.val_losses) == len(test.losses) == 2
    assert np.isfinite(test.val_losses).all()


@pytest.mark.parametrize("weights", [None, np.linspace(0, 2, 10)])
def test_validation_data_may_have_weights(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray], weights: np.ndarray | None
) -> None:
    model = make_line()
    expected = model.evaluate(*line, sample_weight=weights, verbose=0)
    data = line if weights is None else (*line, weights)
    test = find_lr(model, *line, iterations=2, start_lr=1e-12, end_lr=1e-11, validation_data=data)
    np.testing.assert_allclose(test.val_losses, expected, rtol=1e-6)


def numbered(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of one example that equals its number."""
    return ((np.full((1, 2), number, "float32"), np.zeros((1, 1), "float32")) for number in range(count))


class Repeated(keras.utils.PyDataset):
    """Three batches."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return list(numbered(3))[index]


@pytest.mark.parametrize("make", [Repeated, lambda: numbered(1000)], ids=["PyDataset", "generator"])
def test_batches_from_python_are_swept(make_line: Callable[..., keras.Model], make: Callable[[], Any]) -> None:
    still = {"start_lr": 1e-12, "end_lr": 1e-11, "diverge_factor": math.inf}
    test = find_lr(make_line(), make(), **still, iterations=4, repeats=2)
    assert [len(sweep.losses) for sweep in test.sweeps] == [4, 4]
    if make is Repeated:  # Keras has already read the first batches of a generator
        np.testing.assert_allclose([each.losses for each in test.sweeps], [[0, 1, 4, 0], [1, 4, 0, 1]], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*ran out of data:UserWarning")
def test_a_generator_that_ends_ends_the_sweep(make_line: Callable[..., keras.Model]) -> None:
    test = find_lr(make_line(), numbered(5), iterations=20, diverge_factor=math.inf)
    assert test.stop_reason == "training ended before the last rate"
    assert 3 <= test.iterations <= 5


def test_a_run_shorter_than_the_sweep_gives_the_reason(lab: Laboratory) -> None:
    finder = LRFinder(iterations=100)
    lab.fit(callbacks=[finder])
    assert finder.result().stop_reason == "training ended before the last rate"
    assert finder.result().iterations == 12


def test_a_train_step_without_a_loss_is_refused(lab: Laboratory) -> None:
    class Silent(keras.Model):
        def train_step(self, data: Any) -> dict[str, Any]:
            super().train_step(data)
            return {"something": keras.ops.ones(())}

    inputs = keras.Input((4,))
    model = Silent(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", loss="mse")
    with pytest.raises(ModelError, match=r"Return one from `train_step`. Received: something"):
        find_lr(model, lab.inputs, lab.labels.astype("float32"))


def test_several_inputs_may_be_a_list(lab: Laboratory) -> None:
    first, second = keras.Input((1,)), keras.Input((3,))
    model = keras.Model([first, second], keras.layers.Dense(3)(keras.layers.Concatenate()([first, second])))
    model.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    parts = [lab.inputs[:, :1], lab.inputs[:, 1:]]
    assert find_lr(model, parts, lab.labels, iterations=5, end_lr=0.1).iterations == 5


@pytest.mark.slow
def test_no_error_is_logged_at_the_end_of_the_process() -> None:
    """TensorFlow logs one if a Python iterator is still alive then."""
    code = """
import keras, lrdiag, numpy as np
class Batches(keras.utils.PyDataset):
    def __len__(self): return 3
    def __getitem__(self, index): return np.ones((1, 2)), np.ones((1, 1))
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
lrdiag.find_lr(model, Batches(), iterations=5)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "GeneratorDataset" not in done.stderr
