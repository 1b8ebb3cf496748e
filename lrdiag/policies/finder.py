"""The learning-rate range test: raise the rate step by step, watch the loss, and leave no trace.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3, with the exponential ladder
and the stop rule that fastai made customary.
"""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import keras

from lrdiag.backend.optimizers import (
    MAX_SKIPPED,
    UpdateCounter,
    batches_per_update,
    choose_optimizers,
    is_adaptive,
    require_steps,
)
from lrdiag.backend.state import TrainingState, build_on, fit_undone
from lrdiag.errors import ModelError, SettingsError, require_choice, require_count
from lrdiag.policies.batches import endless_batches, no_batch, require_repeatable
from lrdiag.policies.swept_rate import SweptRate, give_back_left
from lrdiag.rate.curves import LADDERS
from lrdiag.rate.range_test import DIVERGED, NOT_FINITE, SWEPT, RangeTest, Sweep
from lrdiag.rate.reading import MIN_POINTS

Mode = Literal["exponential", "linear"]

DATA_ENDED = "the training ended before the sweep"


class LRFinder(keras.callbacks.Callback):  # type: ignore[misc]
    """Runs a learning-rate range test in `model.fit`, then puts everything back.

    The rate climbs `start_lr * (end_lr / start_lr) ** (i / (iterations - 1))`, or in a straight line. Each loss is
    that of its own batch; under gradient accumulation, that of the batches of one update. The smoothed loss is the
    bias-corrected moving average `v_i / (1 - smoothing**i)`, `v_i = smoothing * v_(i-1) + (1 - smoothing) * loss_i`.
    The sweep ends with the ladder, when the smoothed loss exceeds `diverge_factor` times its best, or at a loss that is
    not finite. Its best is not looked for in the first twenty updates, or the first fifth of a shorter ladder: the
    average is as noisy there as the few losses in it. Of a loss that goes below zero no multiple would do: it has
    diverged where it is `diverge_factor - 1` times as far above its best as the greatest of the first losses, or the
    best, is from zero. Updates that loss scaling skips do not climb.

    The accuracies are those of the first metric that is called `acc` or `…accuracy`.

    Keras calls no callback where training is interrupted, so use it as a context where that may happen; and last in the
    list of callbacks, so that what others do at the end of training, such as to bring the best weights back, is undone
    too; what they write in the meantime, such as checkpoints, stays. `find_lr` does all that by itself, and is the
    simpler choice where the data can be passed to it.

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
        iterations: Updates in the whole ladder.
        mode: Whether the rate climbs by a factor or by a difference: `"exponential"` or `"linear"`.
        validation_data: What `model.evaluate` takes, a pair of arrays or a dataset. Its loss is measured after each
            update and the rates are read from it, so keep it small.
        smoothing: Weight of the past in the smoothed loss, 0 to less than 1.
        diverge_factor: How many times the best smoothed loss ends the sweep; more than 1.
        on_step: Called with each loss as it is measured.

    Raises:
        SettingsError: If an argument is outside its range; in training, if another callback sets the rate as well.
        DataError: If the validation data cannot be measured again and again.
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
    ) -> None:
        super().__init__()
        require_choice("mode", mode, LADDERS)
        require_repeatable(validation_data)
        if not 0 <= smoothing < 1:
            raise SettingsError(f"Argument `smoothing` must be in [0, 1). Received: smoothing={smoothing}")
        if not diverge_factor > 1:
            raise SettingsError(f"Argument `diverge_factor` must be more than 1. Received: {diverge_factor}")
        self.ladder = LADDERS[mode](start_lr, end_lr, iterations)
        self.validation_data = validation_data
        self.smoothing = smoothing
        self.diverge_factor = diverge_factor
        self.on_step = on_step
        self._undo: list[Callable[[], object]] = []
        self._begin()

    def _begin(self) -> None:
        self._losses: list[float] = []
        self._smoothed: list[float] = []
        self._accuracies: list[float] = []
        self._val_losses: list[float] = []
        self._average = 0.0
        self._stop_reason = DATA_ENDED
        self._adaptive = False

    def __enter__(self) -> LRFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Remembers the state of the training and takes the rate in hand."""
        require_steps(self.model, "LRFinder")
        choose_optimizers(self.model)
        updates = UpdateCounter(self.model.optimizer)
        self._begin()
        self._let_go_of_what_was_broken_off()
        self._undo.append(partial(setattr, self.model, "stop_training", self.model.stop_training))
        self._undo.append(TrainingState(self.model).restore)
        self._updates = updates
        self._adaptive = is_adaptive(self.model.optimizer)
        give_back_left(self.model)
        self._rate = SweptRate(self.model)
        self._undo.append(self._rate.give_back)
        self._rate.take()

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Sets the next rate of the ladder, unless gradients are still being accumulated under the last one."""
        if self._updates.is_complete:
            self._rate.set(float(self.ladder(len(self._losses))))
            self.model.reset_metrics()  # from here on they are those of this update alone

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records the loss and decides whether to go on."""
        self._rate.require_untouched()
        self._updates.count()
        if self._updates.skipped == MAX_SKIPPED:
            self._stop(NOT_FINITE)
        if self._updates.skipped or not self._updates.is_complete:
            return
        figures = logs or {}
        if "loss" not in figures:
            raise ModelError(
                "A range test reads the `loss` that the model's `train_step` returns. Let it return one. "
                f"Received: {', '.join(figures) or 'nothing'}"
            )
        val_losses = [] if self.validation_data is None else [self._validation_loss()]
        if not all(map(math.isfinite, [figures["loss"], *val_losses])):
            self._stop(NOT_FINITE)
            return
        self._val_losses += val_losses
        self._record(figures)
        if self._has_diverged():
            self._stop(DIVERGED)
        elif len(self._losses) == self.ladder.iterations:
            self._stop(SWEPT)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Puts everything back."""
        self.restore()

    def restore(self) -> None:
        """Puts the training's state back as it was before the sweep; does nothing the second time.

        Where it is interrupted itself, what is left to do remains for the next call.
        """
        while self._undo:
            self._undo[-1]()
            self._undo.pop()

    def _let_go_of_what_was_broken_off(self) -> None:
        """To put it back now would undo the training that has followed."""
        if self._undo:
            self._undo.clear()
            warnings.warn(
                "The last sweep of this LRFinder was broken off, and its training has kept what it had changed. Use "
                "`with LRFinder(...) as finder:` around `fit` to have it put back",
                stacklevel=3,
            )

    def result(self) -> RangeTest:
        """What was measured so far."""
        return RangeTest((self.sweep(),))

    def sweep(self) -> Sweep:
        """The measurements alone."""
        return Sweep(
            learning_rates=[float(self.ladder(step)) for step in range(len(self._losses))],
            losses=list(self._losses),
            smoothed_losses=list(self._smoothed),
            accuracies=list(self._accuracies),
            val_losses=list(self._val_losses),
            stop_reason=self._stop_reason,
            adaptive=self._adaptive,
        )

    def _record(self, figures: dict[str, float]) -> None:
        loss = figures["loss"]
        self._average = self.smoothing * self._average + (1 - self.smoothing) * loss
        self._losses.append(loss)
        self._smoothed.append(self._average / (1 - self.smoothing ** len(self._losses)))
        accuracy = next((figures[name] for name in figures if name == "acc" or name.endswith("accuracy")), None)
        if accuracy is not None:
            self._accuracies.append(accuracy)
        if self.on_step:
            self.on_step(loss)

    def _has_diverged(self) -> bool:
        settled = self._smoothed[min(MIN_POINTS, self.ladder.iterations // 5) :]
        if not settled:
            return False
        best = min(settled)
        if min(self._losses) >= 0:
            return self._smoothed[-1] > self.diverge_factor * best
        scale = max(-best, *map(abs, self._losses[:MIN_POINTS]))
        return self._smoothed[-1] - best > (self.diverge_factor - 1) * scale

    def _validation_loss(self) -> float:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(self.validation_data)
        return float(self.model.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)["loss"])

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
    smoothing: float = 0.98,
    diverge_factor: float = 4.0,
    repeats: int = 1,
    on_step: Callable[[float], None] | None = None,
) -> RangeTest:
    """Runs a learning-rate range test; afterwards nothing has happened to the model.

    A training after it gives the same losses and weights, to the bit, as a training without it; also when the sweep
    diverges, when something raises, and on Ctrl-C. It may be called in the middle of a training, from a callback too.
    What cannot be put back is outside of the model: the elements that a generator has given out, and the position of a
    `tf.data.Dataset` that shuffles anew in every epoch, which TensorFlow keeps to itself, as it does the state of raw
    `tf.random` operations in a step that is compiled already; Keras's layers draw from seeds, which are put back. Nor
    can an optimizer that a `train_step` of one's own uses beside `model.optimizer`, if it is not built before.

    Where it misleads: a net without normalisation is less patient with high rates than the sweep shows, so the
    suggestion may be too high for a constant rate; fine-tuning of transformers wants rates far below the steepest
    descent (warm-up and stability decide there, not the first hundred updates); and on tiny sets a sweep sees the same
    few batches again and again, so that the loss falls for having seen them.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.01), loss="mse")
        >>> test = find_lr(model, np.ones((64, 2)), np.ones((64, 1)), end_lr=0.1, iterations=20)
        >>> test.learning_rates[0], test.iterations
        (1e-05, 20)

    Args:
        model: A compiled model. `steps_per_execution` above 1 is set aside for the sweep. If it has no weights yet, it
            gets them by the first batch, of anything but a generator.
        x: Inputs: an array or a structure of arrays, of which random batches are taken; or a `tf.data.Dataset`,
            `keras.utils.PyDataset` or loader of batches, begun anew where it is shorter than the sweep; or a generator,
            which ends the sweep where it ends.
        y: Targets, arrays; `None` where `x` gives them.
        sample_weight: As `model.fit` takes it; `None` where `x` gives them.
        class_weight: As `model.fit` takes it.
        batch_size: Examples in one step, where `x` is an array; 32 where none is given.
        start_lr: See `LRFinder`.
        end_lr: See `LRFinder`.
        iterations: See `LRFinder`.
        mode: See `LRFinder`.
        validation_data: See `LRFinder`.
        smoothing: See `LRFinder`.
        diverge_factor: See `LRFinder`.
        repeats: Sweeps, each from the same beginning and on batches of its own; two or more give an interval.
        on_step: See `LRFinder`.

    Returns:
        What was measured; `suggest()` and `bounds()` read the rates off it.

    Raises:
        SettingsError: If an argument is outside its range.
        DataError: If there is no batch, or data of a kind that cannot be swept.
        ModelError: If the model is not compiled, or has no weights and is to be swept by a generator.
    """
    require_count("repeats", repeats)
    if batch_size is not None:
        require_count("batch_size", batch_size)
    if class_weight is not None and not isinstance(class_weight, dict):
        raise SettingsError(
            "Argument `class_weight` must be a dict from the number of a class to its weight. "
            f"Received: {type(class_weight).__name__}"
        )
    if not model.compiled:
        raise ModelError(
            "A range test trains the model, so it must be compiled: call model.compile(optimizer, loss) first. "
            f"Received: {model.name!r}, which is not"
        )
    finder = LRFinder(start_lr, end_lr, iterations, mode, validation_data, smoothing, diverge_factor, on_step)
    give_back_left(model)
    sweeps = []
    for repeat in range(repeats):
        needed = iterations * batches_per_update(model.optimizer)
        batches, steps = endless_batches(
            x, y, sample_weight, batch_size=batch_size, sweep=repeat, sweeps=repeats, batches=needed
        )
        sweeps.append(_sweep(model, finder, batches, steps, class_weight))
    return RangeTest(tuple(sweeps))


def _sweep(
    model: keras.Model, finder: LRFinder, batches: Any, steps: int | None, class_weight: dict[int, float] | None
) -> Sweep:
    """One sweep over batches without end, after which nothing has happened."""
    build_on(model, batches)
    with fit_undone(model), finder:
        if model.steps_per_execution != 1:
            model.steps_per_execution, model.train_function = 1, None
        model.fit(
            batches, class_weight=class_weight, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[finder]
        )
        if steps is None:
            # Keras keeps a Python iterator in a cycle. TensorFlow fetches ahead from it, which would go on drawing
            # random numbers, and complains of it at the end of the process
            gc.collect()
    sweep = finder.sweep()
    if not sweep.losses and sweep.stop_reason == DATA_ENDED:
        raise no_batch()
    return sweep
