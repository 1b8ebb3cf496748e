"""A range test restores everything: resumed runs, after Ctrl-C, and with unusual optimizers and models."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.backend.optimizers import schedule_of
from lrdiag.backend.state import TrainingState, fit_undone
from lrdiag.errors import ModelError, SettingsError
from lrdiag.policies.finder import LRFinder, find_lr

SWEEP = {"iterations": 6, "batch_size": 2, "end_lr": 0.1, "diverge_factor": 1e9}
INPUTS = np.random.default_rng(0).normal(size=(12, 2)).astype("float32")
TARGETS = INPUTS @ np.array([[1.0], [2.0]], "float32")


def net(optimizer: Any = None, **compile_arguments: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.2), keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), **{"loss": "mse", **compile_arguments})
    return model


def fit(model: keras.Model, **arguments: Any) -> list[float]:
    """The loss of each epoch."""
    return model.fit(INPUTS, TARGETS, **{"batch_size": 2, "epochs": 2, "verbose": 0, **arguments}).history["loss"]


def weights(model: keras.Model) -> np.ndarray:
    return np.concatenate([np.ravel(each) for each in model.get_weights()])


class Breaking(keras.callbacks.Callback):
    """Interrupts training in its third epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


class Sweeping(keras.callbacks.Callback):
    """Sweeps at the beginning of an epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 3:
            assert find_lr(self.model, INPUTS, TARGETS, **SWEEP).iterations == 6


@pytest.mark.parametrize("within", [True, False], ids=["within", "after"])
def test_a_resumed_run_can_be_swept(tmp_path: Path, within: bool) -> None:
    """`BackupAndRestore` sets `model._initial_epoch`, and Keras keeps it when the run is over."""
    backup = keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(net(), epochs=5, callbacks=[backup, Breaking()])
    model = net()
    losses = fit(model, epochs=5, callbacks=[keras.callbacks.BackupAndRestore(tmp_path), *([Sweeping()] * within)])
    assert len(losses) == 3
    before, resumed_at = weights(model), model._initial_epoch
    assert find_lr(model, INPUTS, TARGETS, **SWEEP).iterations == 6
    np.testing.assert_array_equal(weights(model), before)
    assert model._initial_epoch == resumed_at == 2


@pytest.mark.parametrize("assignment", [1, 2, 7])
def test_ctrl_c_while_the_state_is_restored_loses_nothing(monkeypatch: pytest.MonkeyPatch, assignment: int) -> None:
    """Ctrl-C at one of the assignments after the last update, once."""
    model = net(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 20), momentum=0.9))
    fit(model)
    schedule, before, iterations = schedule_of(model.optimizer), weights(model), int(model.optimizer.iterations)
    steps, assignments, assign = [], [], keras.Variable.assign

    def interrupted_assign(variable: keras.Variable, value: Any) -> Any:
        if len(steps) == SWEEP["iterations"]:
            assignments.append(variable)
            if len(assignments) == assignment:
                raise KeyboardInterrupt
        return assign(variable, value)

    monkeypatch.setattr(keras.Variable, "assign", interrupted_assign)
    with pytest.raises(KeyboardInterrupt):
        find_lr(model, INPUTS, TARGETS, **SWEEP, on_step=steps.append)
    assert len(assignments) > assignment, "the rest is restored too"
    assert schedule_of(model.optimizer) is schedule
    assert int(model.optimizer.iterations) == iterations
    np.testing.assert_array_equal(weights(model), before)


def test_a_refused_sweep_keeps_the_schedule() -> None:
    decay = keras.optimizers.schedules.CosineDecay(0.1, 20)
    by_variable = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(decay), {".*kernel": keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)}
    )
    model = net(keras.optimizers.MultiOptimizer(by_variable))
    with pytest.raises(SettingsError, match="must have the same `gradient_accumulation_steps`"):
        fit(model, callbacks=[LRFinder()])
    assert any(schedule_of(each) is decay for each in model.optimizer.optimizers)


class Drawing(keras.utils.PyDataset):
    """Batches with noise from the random states of Python, numpy and Keras."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        noise = random.random() + np.random.normal() + float(keras.random.normal(()))  # noqa: NPY002
        part = slice(2 * index, 2 * index + 2)
        return INPUTS[part] + np.float32(noise), TARGETS[part]


def test_random_states_that_the_data_uses_before_the_first_step_are_restored() -> None:
    losses = []
    for swept in (False, True):
        model = net()
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        keras.random.normal(())  # creates Keras's global seed generator
        if swept:
            find_lr(model, Drawing(), iterations=6, end_lr=0.1)
        losses.append(model.fit(Drawing(), epochs=2, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1]


OPTIMIZERS = [("Adam", False), ("Adafactor", False), ("Muon", False), ("Nadam", True)]
MORE_OPTIMIZERS = [
    *((name, False) for name in ("Adadelta", "Adagrad", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "Nadam", "RMSprop")),
    *(("SGD", False), ("Adam", True), ("SGD", True)),
]


@pytest.mark.parametrize(
    ("name", "scaled"), [*OPTIMIZERS, *(pytest.param(*each, marks=pytest.mark.slow) for each in MORE_OPTIMIZERS)]
)
def test_each_optimizer_is_restored(name: str, scaled: bool) -> None:
    losses = []
    for swept in (False, True):
        optimizer = getattr(keras.optimizers, name)(0.01)
        model = net(keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer)
        fit(model, epochs=1)
        if swept:
            find_lr(model, INPUTS, TARGETS, **SWEEP)
        losses.append(fit(model))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("data", ["arrays", "dataset", "generator"])
def test_a_model_is_built_as_training_would_build_it(data: str) -> None:
    dataset = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(2)
    losses = []
    for swept in (False, True):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Dense(3), keras.layers.Dropout(0.2), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        if swept and data == "generator":
            with pytest.raises(ModelError, match="must be built"):
                find_lr(model, iter(dataset), iterations=6)
        elif swept:
            find_lr(model, *([INPUTS, TARGETS] if data == "arrays" else [dataset]), iterations=6, end_lr=0.1)
        losses.append(model.fit(dataset, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def by_name(optimizers: dict[str, keras.optimizers.Optimizer], variable: keras.Variable) -> keras.Optimizer:
    return optimizers[variable.name]


@pytest.mark.parametrize("scaled", [False, True])
def test_a_multi_optimizer_with_a_function_is_built_and_swept(scaled: bool) -> None:
    losses = []
    for swept in (False, True):
        optimizers = {"kernel": keras.optimizers.Adam(0.01), "bias": keras.optimizers.SGD(0.05, momentum=0.9)}
        chosen = keras.optimizers.MultiOptimizer(partial(by_name, optimizers))
        model = net(keras.optimizers.LossScaleOptimizer(chosen) if scaled else chosen)
        if swept:
            assert find_lr(model, INPUTS, TARGETS, **SWEEP, repeats=2).iterations == 6
        losses.append(fit(model))
    assert losses[0] == losses[1]


def test_an_interrupted_finder_does_not_restore_an_older_state() -> None:
    model, finder = net(), LRFinder(iterations=6, end_lr=0.1)
    broken = LRFinder(iterations=100, end_lr=0.1)
    with pytest.raises(KeyboardInterrupt):
        fit(model, epochs=5, callbacks=[broken, Breaking()])
    fit(model, epochs=3)
    trained = weights(model)
    with pytest.warns(UserWarning, match=r"was interrupted.*with LRFinder"):
        fit(model, epochs=1, callbacks=[broken])
    np.testing.assert_array_equal(weights(model), trained)
    fit(model, epochs=2, callbacks=[finder])
    np.testing.assert_array_equal(weights(model), trained)


def test_stop_training_is_restored() -> None:
    model = net()
    fit(model, callbacks=[LRFinder(iterations=3)])
    assert model.stop_training is False


def test_as_the_last_callback_it_undoes_what_others_change_at_the_end() -> None:
    model = net()
    before = weights(model)
    best = keras.callbacks.EarlyStopping("loss", restore_best_weights=True)
    fit(model, epochs=3, callbacks=[best, LRFinder(iterations=15, end_lr=0.1)])
    np.testing.assert_array_equal(weights(model), before)


def loss_and_gradients(model: keras.Model, data: Any) -> tuple[Any, list[Any]]:
    inputs, targets = data
    with tf.GradientTape() as tape:
        loss = keras.ops.mean((model(inputs) - targets) ** 2)
    return loss, tape.gradient(loss, model.trainable_weights)


class Adversarial(keras.Model):
    """Its `train_step` uses another optimizer than `model.optimizer`."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.own = [keras.optimizers.SGD(0.1, momentum=0.9)]

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, data: Any) -> dict[str, Any]:
        loss, gradients = loss_and_gradients(self, data)
        self.own[0].apply(gradients, self.trainable_weights)
        return {"loss": loss}


def frozen() -> keras.Model:
    model = net()
    model.trainable = False
    model.compile("sgd", "mse")
    return model


def adversarial() -> keras.Model:
    model = Adversarial()
    model(INPUTS)
    model.own[0].build(model.trainable_variables)
    model.compile("sgd")
    return model


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
@pytest.mark.parametrize("make", [adversarial, frozen])
def test_an_optimizer_without_updates_is_refused_and_everything_is_restored(make: Callable[[], keras.Model]) -> None:
    model = make()
    held = [*model.variables, *(model.own[0].variables if hasattr(model, "own") else [])]
    before = [each.numpy() for each in held]
    with pytest.raises(ModelError, match=r"`model.optimizer` must make the updates"):
        find_lr(model, INPUTS, TARGETS, **SWEEP)
    for variable, value in zip(held, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


class Patient(keras.Model):
    """Its `train_step` accumulates the gradients of two batches itself."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1, use_bias=False)
        self.seen = self.add_weight(initializer="zeros", dtype="int32", trainable=False)
        self.sum = self.add_weight(shape=(2, 1), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, data: Any) -> dict[str, Any]:
        loss, (gradient,) = loss_and_gradients(self, data)
        self.sum.assign_add(gradient)
        self.seen.assign_add(1)

        def update() -> None:
            self.optimizer.apply([self.sum / 2], [self.dense.kernel])
            self.sum.assign(keras.ops.zeros((2, 1)))

        tf.cond(self.seen % 2 == 0, update, lambda: None)
        return {"loss": loss}


def test_gradients_may_be_accumulated_in_a_custom_train_step() -> None:
    model = Patient()
    model(INPUTS)
    model.compile(keras.optimizers.SGD(0.1))
    before = weights(model)
    test = find_lr(model, INPUTS, TARGETS, **SWEEP)
    assert (test.iterations, test.stop_reason) == (6, "the last learning rate was reached")
    np.testing.assert_array_equal(weights(model), before)


@pytest.mark.parametrize("same", [True, False], ids=["same-finder", "another"])
def test_a_schedule_that_an_interrupted_sweep_replaced_is_restored(same: bool) -> None:
    decay = keras.optimizers.schedules.CosineDecay(0.1, 20)
    model, broken = net(keras.optimizers.SGD(decay)), LRFinder(iterations=100, end_lr=0.1)
    with pytest.raises(KeyboardInterrupt):
        fit(model, epochs=5, callbacks=[broken, Breaking()])
    if same:
        with pytest.warns(UserWarning, match="was interrupted"):
            fit(model, epochs=1, callbacks=[broken])
    else:
        find_lr(model, INPUTS, TARGETS, **SWEEP)
    assert schedule_of(model.optimizer) is decay
    model.optimizer.iterations.assign(3)
    twin = net(keras.optimizers.SGD(decay))
    twin.set_weights(model.get_weights())
    twin.optimizer.build(twin.trainable_variables)
    twin.optimizer.iterations.assign(3)
    for each in (model, twin):
        keras.utils.set_random_seed(1)
        each.layers[0].seed_generator.state.assign([0, 1])
        fit(each, shuffle=False)
    np.testing.assert_allclose(weights(model), weights(twin), rtol=1e-6)


def test_a_refused_sweep_does_not_count_as_interrupted(recwarn: pytest.WarningsRecorder) -> None:
    by_variable = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(0.1), {".*kernel": keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)}
    )
    finder = LRFinder(iterations=3)
    with pytest.raises(SettingsError, match="must have the same `gradient_accumulation_steps`"):
        fit(net(keras.optimizers.MultiOptimizer(by_variable)), callbacks=[finder])
    fit(net(), callbacks=[finder])
    assert not [each for each in recwarn if "interrupted" in str(each.message)]


class Setting(keras.callbacks.Callback):
    """Sets the rate of each batch."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 0.001


def test_another_callback_that_sets_the_rate_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"No other callback may set the learning rate during a range test.*Received: 0.001"
    ):
        fit(net(), callbacks=[LRFinder(iterations=6), Setting()])


def test_an_optimizer_that_a_layer_holds_is_restored() -> None:
    """Also inside of a list or a dict, and in a layer of a layer."""

    class Inner(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.optimizers = {"a": keras.optimizers.SGD(0.5)}

    class Outer(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = [Inner()]

        def build(self, shape: Any) -> None:
            """Nothing to build."""

        def call(self, inputs: Any) -> Any:
            return inputs

    outer = Outer()
    model = keras.Sequential([keras.Input((2,)), outer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    state, held = TrainingState(model), outer.inner[0].optimizers["a"]
    held.learning_rate = 0.25
    state.restore()
    assert float(held.learning_rate) == 0.5


def test_attributes_that_a_nested_fit_changes_are_restored() -> None:
    """The iterator over the validation data is that of the outer `fit`. This fails if Keras renames the attribute."""
    iterators = []

    class Nested(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            before = self.model._eval_epoch_iterator
            with fit_undone(self.model):
                fit(self.model, epochs=1)
            iterators.append((before, self.model._eval_epoch_iterator))

    fit(net(run_eagerly=True), epochs=1, validation_data=(INPUTS, TARGETS), callbacks=[Nested()])
    ((before, after),) = iterators
    assert before is after is not None
