"""The learning-rate range test: increases the rate step by step, measures the loss, and restores everything.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3, with the exponential rates
and the stop rule of fastai.
"""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import keras

from lrdiag.backend.engine import engine
from lrdiag.backend.inference import overrides
from lrdiag.backend.logs import accuracy_name
from lrdiag.backend.optimizers import (
    MAX_SKIPPED,
    UpdateCounter,
    batches_per_update,
    build_multi_optimizer,
    is_adaptive,
    require_single_steps,
)
from lrdiag.backend.state import TrainingState, build_on, fit_undone, training_continued
from lrdiag.errors import ModelError, SettingsError, require_choice, require_count
from lrdiag.models.accepted import Callback, require_keras_model
from lrdiag.policies.batches import endless_batches, no_batch, repeatable
from lrdiag.policies.swept_rate import SweptRate, restore_schedules
from lrdiag.rate.curves import LADDERS
from lrdiag.rate.range_test import DIVERGED, NOT_FINITE, SWEPT, RangeTest, Sweep
from lrdiag.rate.sweeping import RunningSweep

Mode = Literal["exponential", "linear"]

DATA_ENDED = "training ended before the last rate"


class LRFinder(Callback):
    """Runs a learning-rate range test in `model.fit`, then restores everything.

    The rate of update `i` is `start_lr * (end_lr / start_lr) ** (i / (iterations - 1))`, or increases linearly. Each
    loss is that of its own batch; with gradient accumulation, that of the batches of one update. Updates that loss
    scaling skips don't count. The smoothed loss is the bias-corrected moving average `v_i / (1 - smoothing**i)` with
    `v_i = smoothing * v_(i-1) + (1 - smoothing) * loss_i`.

    The sweep ends after the last rate, at a loss that is NaN or infinite, or when the smoothed loss exceeds
    `diverge_factor` times its lowest value. The first twenty updates (or the first fifth of a shorter sweep) are left
    out of the lowest value, because the average of few losses is noisy. If a loss is negative, the loss has diverged
    when its distance from the lowest value exceeds `diverge_factor - 1` times the magnitude of the lowest value or of
    the largest of the first losses.

    The accuracies are those of the first metric named `acc` or `...accuracy`.

    Keras calls no callback when training is interrupted, so use the finder as a context manager if that may happen.
    Make it the last callback in the list: it then also undoes what other callbacks do at the end of training, such as
    restoring the best weights. Files that they write, such as checkpoints, stay. `find_lr` does all of this itself, and
    is simpler if the data can be passed to it.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.01), loss="mse")
        >>> with LRFinder(end_lr=0.1, iterations=20) as finder:
        ...     history = model.fit(np.ones((64, 2)), np.ones(64), batch_size=2, verbose=0, callbacks=[finder])
        >>> len(finder.result().losses)
        20

    Args:
        start_lr: The first rate.
        end_lr: The last rate.
        iterations: Number of updates in the sweep.
        mode: `"exponential"` or `"linear"`: how the rate increases.
        validation_data: A pair of arrays, or a dataset or iterable of batches. Its loss is measured after each update
            and the rates are read from it, so keep it small.
        smoothing: Weight of the past in the smoothed loss, in [0, 1).
        diverge_factor: Multiple of the lowest smoothed loss that ends the sweep, more than 1.
        on_step: Called with the loss of each update.
        validation_steps: Number of batches of `validation_data` to evaluate, as in `model.fit`. Required if it has no
            end.

    Raises:
        SettingsError: If an argument is outside its range. In training, if another callback sets the rate, or
            `steps_per_execution` isn't 1.
        DataError: If the validation data isn't finite and repeatable.
        ModelError: In training, if the model isn't built, its `train_step` returns no `loss`, or `model.optimizer`
            makes no updates.
    """

    def __init__(
        self,
        start_lr: float = 1e-5,
        end_lr: float = 10.0,
        iterations: int = 100,
        mode: Mode = "exponential",
        validation_data: Any = None,
        smoothing: float = 0.98,
        diverge_factor: float = 4.0,
        on_step: Callable[[float], None] | None = None,
        validation_steps: int | None = None,
    ) -> None:
        super().__init__()
        require_choice("mode", mode, LADDERS)
        self.validation_data, self.validation_steps = repeatable(validation_data, validation_steps), validation_steps
        self.on_step = on_step
        self._new_sweep = partial(RunningSweep, LADDERS[mode](start_lr, end_lr, iterations), smoothing, diverge_factor)
        self._undo: list[Callable[[], object]] = []
        self._begin()

    def __repr__(self) -> str:
        return f"LRFinder({len(self._sweep.losses)} updates measured)"

    def _begin(self) -> None:
        self._sweep = self._new_sweep()
        self._stop_reason = DATA_ENDED
        self._adaptive = False

    def __enter__(self) -> LRFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Copies the state of training and takes control of the learning rate."""
        require_single_steps(self.model, "LRFinder")
        build_multi_optimizer(self.model)
        updates = UpdateCounter(self.model.optimizer, self.model)
        self._begin()
        self._discard_interrupted_sweep()
        self._undo.append(partial(setattr, self.model, "stop_training", self.model.stop_training))
        self._undo.append(TrainingState(self.model).restore)
        self._updates = updates
        self._adaptive = is_adaptive(self.model.optimizer)
        restore_schedules(self.model)
        self._rate = SweptRate(self.model)
        self._undo.append(self._rate.give_back)
        self._rate.take()

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Sets the next rate, unless gradients are still being accumulated at the current one."""
        if self._updates.is_complete:
            self._rate.set(self._sweep.next_rate())
            self.model.reset_metrics()  # so that they are those of this update alone

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records the loss and decides whether to continue.

        Raises:
            SettingsError: If another callback has set the rate.
            ModelError: If the logs have no `loss`, or the optimizer makes no updates.
        """
        self._rate.require_untouched()
        self._updates.count()
        if self._updates.skipped == MAX_SKIPPED:
            self._stop(NOT_FINITE)
        if self._updates.skipped or not self._updates.is_complete:
            return
        figures = logs or {}
        if "loss" not in figures:
            raise ModelError(
                "A range test reads the `loss` that the model's `train_step` returns. Return one from `train_step`. "
                f"Received: {', '.join(figures) or 'nothing'}"
            )
        self._measure(figures)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Restores everything."""
        self.restore()

    def restore(self) -> None:
        """Restores the state of training before the sweep. Does nothing if it is already restored.

        If it is interrupted itself, the next call does the rest.
        """
        while self._undo:
            self._undo[-1]()
            self._undo.pop()

    def result(self) -> RangeTest:
        """Returns the range test, with the measurements so far."""
        return RangeTest((self.sweep(),))

    def sweep(self) -> Sweep:
        """Returns the measurements so far."""
        return self._sweep.finished(self._stop_reason, adaptive=self._adaptive)

    def _discard_interrupted_sweep(self) -> None:
        """Discards the state before an interrupted sweep. Restoring it would also undo the training after the sweep."""
        if self._undo:
            self._undo.clear()
            warnings.warn(
                "The previous sweep of this LRFinder was interrupted, and its changes were kept. Use "
                "`with LRFinder(...) as finder:` around `fit` to undo them",
                stacklevel=3,
            )

    def _measure(self, figures: dict[str, float]) -> None:
        """Records a complete update and stops the sweep if it is over."""
        loss, accuracy = figures["loss"], accuracy_name(figures)
        val_loss = None if self.validation_data is None else self._validation_loss()
        if not (math.isfinite(loss) and (val_loss is None or math.isfinite(val_loss))):
            self._stop(NOT_FINITE)
            return
        self._sweep.add(loss, None if accuracy is None else figures[accuracy], val_loss)
        if self.on_step:
            self.on_step(loss)
        if self._sweep.has_diverged():
            self._stop(DIVERGED)
        elif self._sweep.is_complete():
            self._stop(SWEPT)

    def _validation_loss(self) -> float:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(self.validation_data)
        with training_continued(self.model):
            figures = self.model.evaluate(
                x, y, sample_weight=weights, steps=self.validation_steps, verbose=0, return_dict=True
            )
        return float(figures["loss"])

    def _stop(self, reason: str) -> None:
        self._stop_reason = reason
        self.model.stop_training = True


def find_lr(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    batch_size: int | None = None,
    start_lr: float = 1e-5,
    end_lr: float = 10.0,
    iterations: int = 100,
    mode: Mode = "exponential",
    validation_data: Any = None,
    validation_steps: int | None = None,
    smoothing: float = 0.98,
    diverge_factor: float = 4.0,
    repeats: int = 1,
    on_step: Callable[[float], None] | None = None,
) -> RangeTest:
    """Runs a learning-rate range test and restores the model.

    Training after it gives bit-identical losses and weights to training without it, also if the sweep diverges, an
    error is raised, or Ctrl-C is pressed. It may be called during training, for example from a callback.

    Four things can't be restored: the elements taken from a generator; the position of a `tf.data.Dataset` that
    shuffles again in each epoch; the state of raw `tf.random` operations in a compiled step (Keras's layers draw from
    seeds, which are restored); and an optimizer that a custom `train_step` uses in addition to `model.optimizer`,
    unless it was built before.

    The suggestion can be misleading. Without normalization layers it may be too high for a constant rate. Fine-tuning
    of transformers needs much lower rates, because warm-up and stability matter more than the first hundred updates. On
    very small data sets the sweep repeats the same few batches, so the loss also falls because the model memorises
    them.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.01), loss="mse")
        >>> test = find_lr(model, np.ones((64, 2)), np.ones((64, 1)), end_lr=0.1, iterations=20)
        >>> test.learning_rates[0], test.iterations
        (1e-05, 20)

    Args:
        model: A compiled model. During the sweep, `steps_per_execution` is 1. A model that isn't built yet is built on
            the first batch, unless `x` is a generator.
        x: Inputs: an array or a structure of arrays, which gives random batches; a `tf.data.Dataset`, a
            `keras.utils.PyDataset` or an iterable of batches, which is repeated if it is shorter than the sweep; or a
            generator, which ends the sweep at its end.
        y: Targets, if `x` is arrays.
        sample_weight: Weights as in `model.fit`, if `x` is arrays.
        class_weight: As in `model.fit`.
        batch_size: Number of examples in a batch, if `x` is arrays. Defaults to 32.
        start_lr: See `LRFinder`.
        end_lr: See `LRFinder`.
        iterations: See `LRFinder`.
        mode: See `LRFinder`.
        validation_data: See `LRFinder`.
        validation_steps: See `LRFinder`.
        smoothing: See `LRFinder`.
        diverge_factor: See `LRFinder`.
        repeats: Number of sweeps. Each starts with the same weights, on other batches. Two or more give an interval.
        on_step: See `LRFinder`.

    Returns:
        The range test. Its methods `suggest()` and `bounds()` return the rates.

    Raises:
        SettingsError: If an argument is outside its range.
        DataError: If there is no batch, or the data is of an unknown kind.
        ModelError: If the model isn't a keras.Model, isn't compiled, isn't built and `x` is a generator, returns no
            `loss` from `train_step`, or isn't updated by `model.optimizer`.
    """
    require_keras_model(model)
    require_count("repeats", repeats)
    if batch_size is not None:
        require_count("batch_size", batch_size)
    if class_weight is not None and not isinstance(class_weight, dict):
        raise SettingsError(
            "Argument `class_weight` must be a dict from class indices to weights. "
            f"Received: {type(class_weight).__name__}"
        )
    if not model.compiled:
        raise ModelError(
            "The model must be compiled before a range test: call model.compile(optimizer, loss). "
            f"Received: {model.name!r}, which isn't"
        )
    engine().require_trainable(model)
    finder = LRFinder(
        start_lr, end_lr, iterations, mode, validation_data, smoothing, diverge_factor, on_step, validation_steps
    )
    restore_schedules(model)
    sweeps = []
    for repeat in range(repeats):
        needed = iterations * batches_per_update(model.optimizer)
        batches, steps = endless_batches(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            sweep=repeat,
            sweeps=repeats,
            batches=needed,
            own_step=overrides(model, "train_step"),
        )
        sweeps.append(_sweep(model, finder, batches, steps, class_weight))
    return RangeTest(tuple(sweeps))


def _sweep(
    model: keras.Model, finder: LRFinder, batches: Any, steps: int | None, class_weight: dict[int, float] | None
) -> Sweep:
    """Runs one sweep over infinite batches and restores the model.

    It calls `fit` instead of `train_on_batch`, which gives each device of a `MirroredStrategy` the whole batch.
    """
    build_on(model, batches)
    with fit_undone(model), finder:
        model.fit(
            batches, class_weight=class_weight, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[finder]
        )
        if steps is None:
            # Keras keeps a Python iterator alive in a reference cycle. TensorFlow would go on prefetching from it,
            # which draws random numbers, and log an error when Python exits
            gc.collect()
    sweep = finder.sweep()
    if not sweep.losses and sweep.stop_reason == DATA_ENDED:
        raise no_batch()
    return sweep
