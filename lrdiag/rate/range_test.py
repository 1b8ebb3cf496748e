"""The learning-rate range test: raise the rate step by step, watch the loss, and leave no trace.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3, with the exponential ladder
and the stop rule that fastai made customary.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state  # no public way to the seed that Keras draws from by itself
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

from lrdiag.errors import SettingsError
from lrdiag.rate.curves import ExponentialSweep
from lrdiag.rate.steps import BatchLoss, require_settable_rate
from lrdiag.records import RangeTest

MAX_SKIPPED = 20  # updates in a row: the loss scale of float16 starts at 2**15 and is halved each time


class TrainingState:
    """Everything that a training step can change, to be put back later.

    Weights alone are not enough: batch-norm statistics, dropout seeds, the optimizer's slots, step count and rate, and
    the random states of Python, numpy and Keras are all moved by a few steps of training.

    Args:
        model: A built and compiled model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002 – users' own code draws from it
        # not made where it is missing: Keras would draw its seed from Python's random state
        self._keras_seed = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self._model = model
        variables = [*model.variables, *model.optimizer.variables]
        if self._keras_seed is not None:
            variables.append(self._keras_seed.state)
        self._values = [(variable, keras.ops.convert_to_numpy(variable).copy()) for variable in variables]

    def restore(self) -> None:
        """Puts everything back."""
        for variable, value in self._values:
            variable.assign(value)
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, self._keras_seed)
        self._model.reset_metrics()


class LRFinder(keras.callbacks.Callback):  # type: ignore[misc]
    """Runs a learning-rate range test in `model.fit`, then puts everything back.

    The rate climbs `start_lr * (end_lr / start_lr) ** (i / (iterations - 1))`. Each loss is that of its own batch; the
    smoothed loss is the bias-corrected moving average `v_i / (1 - smoothing**i)` with
    `v_i = smoothing * v_(i-1) + (1 - smoothing) * loss_i`. The sweep ends with the ladder, when the smoothed loss
    exceeds `diverge_factor` times its best, or at a loss that is not finite. `find_lr` is its driver, which also puts
    everything back when the sweep is interrupted.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.01), loss="mse")
        >>> finder = LRFinder(end_lr=0.1, iterations=20)
        >>> history = model.fit(np.ones((64, 2)), np.ones(64), batch_size=2, verbose=0, callbacks=[finder])
        >>> len(finder.result().losses)
        20

    Args:
        start_lr: The first rate.
        end_lr: The last rate.
        iterations: Steps in the whole ladder.
        smoothing: Weight of the past in the smoothed loss, 0 to less than 1.
        diverge_factor: How many times the best smoothed loss ends the sweep; more than 1.
        on_step: Called with each loss as it is measured.
    """

    def __init__(
        self,
        start_lr: float = 1e-5,
        end_lr: float = 10.0,
        iterations: int = 100,
        smoothing: float = 0.98,
        diverge_factor: float = 4.0,
        on_step: Callable[[float], None] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise SettingsError(f"Argument `smoothing` must be in [0, 1). Received: smoothing={smoothing}")
        if not diverge_factor > 1:
            raise SettingsError(f"Argument `diverge_factor` must be more than 1. Received: {diverge_factor}")
        self.sweep = ExponentialSweep(start_lr, end_lr, iterations)
        self.smoothing = smoothing
        self.diverge_factor = diverge_factor
        self.on_step = on_step
        self._state: TrainingState | None = None
        self._begin()

    def _begin(self) -> None:
        self._losses: list[float] = []
        self._smoothed: list[float] = []
        self._average = 0.0
        self._skipped = 0
        self._stop_reason = "the range was swept to its end"

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Remembers the state of the training."""
        require_settable_rate(self.model, "LRFinder")
        self._begin()
        self._state = TrainingState(self.model)
        self._batch_loss = BatchLoss(self.model)

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Sets the next rate of the ladder."""
        self.model.optimizer.learning_rate = float(self.sweep(len(self._losses)))
        self._updates = int(self.model.optimizer.iterations)
        self._batch_loss.begin()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records the loss and decides whether to go on."""
        loss = self._batch_loss.end()
        skipped_by_loss_scaling = int(self.model.optimizer.iterations) == self._updates
        if skipped_by_loss_scaling:
            self._skipped += 1
            if self._skipped == MAX_SKIPPED:
                self._stop("the loss was not finite")
            return
        self._skipped = 0
        if not math.isfinite(loss):
            self._stop("the loss was not finite")
            return
        self._record(loss)
        if self._smoothed[-1] > self.diverge_factor * min(self._smoothed):
            self._stop("the loss diverged")
        elif len(self._losses) == self.sweep.iterations:
            self._stop("the range was swept to its end")

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Puts everything back."""
        self.restore()

    def restore(self) -> None:
        """Puts the training's state back as it was before the sweep; does nothing the second time."""
        if self._state is not None:
            self._state.restore()
            self._state = None

    def result(self) -> RangeTest:
        """What was measured so far."""
        rates = [float(self.sweep(step)) for step in range(len(self._losses))]
        return RangeTest(rates, list(self._losses), list(self._smoothed), self._stop_reason)

    def _record(self, loss: float) -> None:
        self._average = self.smoothing * self._average + (1 - self.smoothing) * loss
        self._losses.append(loss)
        self._smoothed.append(self._average / (1 - self.smoothing ** len(self._losses)))
        if self.on_step:
            self.on_step(loss)

    def _stop(self, reason: str) -> None:
        self._stop_reason = reason
        self.model.stop_training = True


def find_lr(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int = 32,
    start_lr: float = 1e-5,
    end_lr: float = 10.0,
    iterations: int = 100,
    smoothing: float = 0.98,
    diverge_factor: float = 4.0,
    on_step: Callable[[float], None] | None = None,
) -> RangeTest:
    """Runs a learning-rate range test; afterwards nothing has happened to the model.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.01), loss="mse")
        >>> test = find_lr(model, np.ones((64, 2)), np.ones((64, 1)), end_lr=0.1, iterations=20)
        >>> test.learning_rates[0], len(test.losses)
        (1e-05, 20)

    Args:
        model: A built and compiled model whose optimizer holds a plain number as its rate.
        x: Inputs: an array, or a `tf.data.Dataset` of batches, repeated where it is shorter than the sweep.
        y: Targets, an array; `None` where `x` is a dataset.
        batch_size: Examples in one step, where `x` is an array.
        start_lr: See `LRFinder`.
        end_lr: See `LRFinder`.
        iterations: See `LRFinder`.
        smoothing: See `LRFinder`.
        diverge_factor: See `LRFinder`.
        on_step: See `LRFinder`.

    Returns:
        The rates and losses; pass it to `lrdiag.rate.suggest.with_suggestion` for the boundaries.

    Raises:
        SettingsError: If an argument is outside its range or the rate cannot be set.
    """
    finder = LRFinder(start_lr, end_lr, iterations, smoothing, diverge_factor, on_step)
    # Keras sets both before a callback sees the model
    attributes = {name: getattr(model, name, None) for name in ("history", "stop_training")}
    batches = x if y is None else _shuffled_batches(x, y, batch_size)
    try:
        # More batches than rungs: loss scaling may skip some. The callback ends the epoch.
        steps = MAX_SKIPPED * iterations
        model.fit(batches.repeat(), steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[finder])
    finally:
        finder.restore()
        for name, value in attributes.items():
            setattr(model, name, value)
    return finder.result()


def _shuffled_batches(x: Any, y: Any, batch_size: int) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=0).batch(batch_size)
