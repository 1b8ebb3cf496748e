"""A range test leaves nothing behind where one would not look for it: resumed trainings, Ctrl-C, odd optimizers."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.backend.state import TrainingState
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
    """Breaks a training off in its third epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


class Sweeping(keras.callbacks.Callback):
    """Sweeps at the beginning of an epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 3:
            assert find_lr(self.model, INPUTS, TARGETS, **SWEEP).iterations == 6


@pytest.mark.parametrize("within", [True, False], ids=["within", "after"])
def test_a_training_that_was_resumed_can_be_swept(tmp_path: Path, within: bool) -> None:
    """Keras then remembers the epoch to begin with, also when the training is over."""
    backup = keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(net(), epochs=5, callbacks=[backup, Breaking()])
    model = net()
    losses = fit(model, epochs=5, callbacks=[keras.callbacks.BackupAndRestore(tmp_path), *([Sweeping()] * within)])
    assert len(losses) == 3
    before = weights(model)
    assert find_lr(model, INPUTS, TARGETS, **SWEEP).iterations == 6
    np.testing.assert_array_equal(weights(model), before)


@pytest.mark.parametrize("seconds", [1e-3, 2e-3, 3e-3, 5e-3])
def test_an_interruption_while_everything_is_put_back_loses_nothing(seconds: float) -> None:
    """Ctrl-C at any moment after the last update, in the restoring too."""
    model = net(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 20), momentum=0.9))
    fit(model)
    schedule, before, iterations = model.optimizer._learning_rate, weights(model), int(model.optimizer.iterations)
    steps = iter(range(6))

    def on_step(loss: float) -> None:
        if next(steps) == 5:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        find_lr(model, INPUTS, TARGETS, **SWEEP, on_step=on_step)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert model.optimizer._learning_rate is schedule
    assert int(model.optimizer.iterations) == iterations
    np.testing.assert_array_equal(weights(model), before)


def test_what_is_left_to_put_back_remains_where_that_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    before = weights(model)
    interrupted = []
    restore = TrainingState.restore

    def restore_at_second_try(self: TrainingState) -> None:
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        restore(self)

    monkeypatch.setattr(TrainingState, "restore", restore_at_second_try)
    with pytest.raises(KeyboardInterrupt):
        find_lr(model, INPUTS, TARGETS, **SWEEP)
    assert interrupted
    np.testing.assert_array_equal(weights(model), before)


def test_a_refused_sweep_leaves_the_schedule() -> None:
    """Refused after it has been looked at: two optimizers without a common update."""
    decay = keras.optimizers.schedules.CosineDecay(0.1, 20)
    by_variable = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(decay), {".*kernel": keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)}
    )
    model = net(keras.optimizers.MultiOptimizer(by_variable))
    with pytest.raises(SettingsError, match="no common update"):
        fit(model, callbacks=[LRFinder()])
    assert any(each._learning_rate is decay for each in model.optimizer.optimizers)


class Drawing(keras.utils.PyDataset):
    """Batches with noise from the random states that users draw from."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        noise = random.random() + np.random.normal() + float(keras.random.normal(()))  # noqa: NPY002
        part = slice(2 * index, 2 * index + 2)
        return INPUTS[part] + np.float32(noise), TARGETS[part]


def test_random_states_are_put_back_that_the_data_draws_from_before_the_first_step() -> None:
    losses = []
    for swept in (False, True):
        model = net()
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        keras.random.normal(())  # makes Keras's own seed, where there is none yet
        if swept:
            find_lr(model, Drawing(), iterations=6, end_lr=0.1)
        losses.append(model.fit(Drawing(), epochs=2, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1]


OPTIMIZERS = ["Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "Muon", "Nadam",
              "RMSprop", "SGD"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "scaled"), [*((name, False) for name in OPTIMIZERS), ("Adam", True), ("Nadam", True), ("SGD", True)]
)
def test_whichever_optimizer_is_swept_trains_as_if_it_had_not_been(name: str, scaled: bool) -> None:
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
def test_a_model_without_weights_gets_those_that_training_would_give_it(data: str) -> None:
    dataset = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(2)
    losses = []
    for swept in (False, True):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Dense(3), keras.layers.Dropout(0.2), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        if swept and data == "generator":
            with pytest.raises(ModelError, match="must have its weights"):
                find_lr(model, iter(dataset), iterations=6)
        elif swept:
            find_lr(model, *([INPUTS, TARGETS] if data == "arrays" else [dataset]), iterations=6, end_lr=0.1)
        losses.append(model.fit(dataset, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def by_name(optimizers: dict[str, keras.optimizers.Optimizer], variable: keras.Variable) -> keras.Optimizer:
    return optimizers[variable.name]


@pytest.mark.parametrize("scaled", [False, True])
def test_optimizers_that_a_function_chooses_are_swept_before_they_are_chosen(scaled: bool) -> None:
    losses = []
    for swept in (False, True):
        optimizers = {"kernel": keras.optimizers.Adam(0.01), "bias": keras.optimizers.SGD(0.05, momentum=0.9)}
        chosen = keras.optimizers.MultiOptimizer(partial(by_name, optimizers))
        model = net(keras.optimizers.LossScaleOptimizer(chosen) if scaled else chosen)
        if swept:
            assert find_lr(model, INPUTS, TARGETS, **SWEEP, repeats=2).iterations == 6
        losses.append(fit(model))
    assert losses[0] == losses[1]


def test_a_finder_that_was_broken_off_does_not_bring_an_old_training_back() -> None:
    model, finder = net(), LRFinder(iterations=6, end_lr=0.1)
    broken = LRFinder(iterations=100, end_lr=0.1)
    with pytest.raises(KeyboardInterrupt):
        fit(model, epochs=5, callbacks=[broken, Breaking()])
    fit(model, epochs=3)
    trained = weights(model)
    with pytest.warns(UserWarning, match=r"was broken off.*with LRFinder"):
        fit(model, epochs=1, callbacks=[broken])
    np.testing.assert_array_equal(weights(model), trained)
    fit(model, epochs=2, callbacks=[finder])
    np.testing.assert_array_equal(weights(model), trained)


def test_the_wish_to_stop_is_withdrawn() -> None:
    model = net()
    fit(model, callbacks=[LRFinder(iterations=3)])
    assert model.stop_training is False


def test_last_in_the_list_it_undoes_what_others_do_at_the_end() -> None:
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
    """Its `train_step` uses an optimizer of its own."""

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


@pytest.mark.parametrize("make", [adversarial, frozen])
def test_an_optimizer_that_makes_no_update_is_refused_and_nothing_is_left(make: Callable[[], keras.Model]) -> None:
    model = make()
    held = [*model.variables, *(model.own[0].variables if hasattr(model, "own") else [])]
    before = [each.numpy() for each in held]
    with pytest.raises(ModelError, match=r"rate of `model.optimizer` that is set, which must make the updates"):
        find_lr(model, INPUTS, TARGETS, **SWEEP)
    for variable, value in zip(held, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


class Patient(keras.Model):
    """Its `train_step` makes an update of two batches by hand."""

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


def test_updates_of_several_batches_made_by_hand_are_rungs() -> None:
    model = Patient()
    model(INPUTS)
    model.compile(keras.optimizers.SGD(0.1))
    before = weights(model)
    test = find_lr(model, INPUTS, TARGETS, **SWEEP)
    assert (test.iterations, test.stop_reason) == (6, "the range was swept to its end")
    np.testing.assert_array_equal(weights(model), before)


@pytest.mark.parametrize("same", [True, False], ids=["same-finder", "another"])
def test_a_schedule_comes_back_that_a_broken_off_sweep_had_replaced(same: bool) -> None:
    decay = keras.optimizers.schedules.CosineDecay(0.1, 20)
    model, broken = net(keras.optimizers.SGD(decay)), LRFinder(iterations=100, end_lr=0.1)
    with pytest.raises(KeyboardInterrupt):
        fit(model, epochs=5, callbacks=[broken, Breaking()])
    if same:
        with pytest.warns(UserWarning, match="was broken off"):
            fit(model, epochs=1, callbacks=[broken])
    else:
        find_lr(model, INPUTS, TARGETS, **SWEEP)
    assert model.optimizer._learning_rate is decay
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


def test_what_was_refused_was_not_broken_off(recwarn: pytest.WarningsRecorder) -> None:
    by_variable = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(0.1), {".*kernel": keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)}
    )
    finder = LRFinder(iterations=3)
    with pytest.raises(SettingsError, match="no common update"):
        fit(net(keras.optimizers.MultiOptimizer(by_variable)), callbacks=[finder])
    fit(net(), callbacks=[finder])
    assert not [each for each in recwarn if "broken off" in str(each.message)]


class Setting(keras.callbacks.Callback):
    """Sets the rate of every batch."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 0.001


def test_another_hand_on_the_rate_is_noticed_at_once() -> None:
    with pytest.raises(SettingsError, match=r"besides the range test sets the learning rate.*Received: 0.001"):
        fit(net(), callbacks=[LRFinder(iterations=6), Setting()])


@pytest.fixture
def negative() -> Callable[[float], keras.Model]:
    def make(offset: float) -> keras.Model:
        return net(loss=lambda targets, outputs: keras.ops.mean((targets - outputs) ** 2, -1) - offset)

    return make


@pytest.mark.parametrize("offset", [4.0, 20.0])
def test_a_loss_below_zero_is_swept_as_far_as_it_is_above(
    negative: Callable[[float], keras.Model], offset: float
) -> None:
    """It does not end at once, as four times a negative best is less than that."""
    sweep = {"batch_size": 12, "iterations": 60, "start_lr": 1e-3, "end_lr": 1e3, "smoothing": 0.5}
    test = find_lr(negative(offset), INPUTS, TARGETS, **sweep)
    assert test.stop_reason == "the loss diverged"
    assert abs(test.iterations - find_lr(negative(-1.0), INPUTS, TARGETS, **sweep).iterations) <= 5
    best, first = min(test.smoothed_losses), max(map(abs, test.losses[:20]))
    assert test.smoothed_losses[-1] - best > 3 * max(-best, first) >= test.smoothed_losses[-2] - best


def test_a_cosine_similarity_is_swept_to_its_end() -> None:
    test = find_lr(net(loss=keras.losses.CosineSimilarity()), INPUTS, np.tile(TARGETS, 3), iterations=50)
    assert (test.iterations, test.stop_reason) == (50, "the range was swept to its end")
