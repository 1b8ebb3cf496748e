"""Records the learning rate, the momentum and the loss of each step of a training run."""

from __future__ import annotations

import math
import time

import keras

from lrdiag.backend.optimizers import HyperParameters, build_multi_optimizer, inner_optimizers
from lrdiag.backend.train_function import BatchLoss
from lrdiag.formats import percent
from lrdiag.progress import Stage
from lrdiag.record.arrays import finite
from lrdiag.record.facts import Epoch


class StepRecorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Records the learning rate, the momentum and the loss of each step.

    With a `MultiOptimizer`, rate and momentum are those of its first optimizer. If `steps_per_execution` is above 1,
    each entry is one execution, with the rate of its first step and the mean loss of its batches.

    Attributes:
        learning_rates: Learning rate of each step.
        momentums: Momentum of each step. Empty if the optimizer has none.
        losses: Loss of each batch alone. It may be NaN or infinite.
    """

    def __init__(self) -> None:
        super().__init__()
        self.learning_rates: list[float] = []
        self.momentums: list[float] = []
        self.losses: list[float] = []

    @property
    def loss_per_step(self) -> list[float | None]:
        """The losses, with `None` in place of NaN and infinity."""
        return [finite(loss) for loss in self.losses]

    @property
    def momentum_per_step(self) -> list[float] | None:
        """The momentums, or `None` if they never changed."""
        return list(self.momentums) if len(set(self.momentums)) > 1 else None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Finds the loss tracker and the optimizer of the model.

        Raises:
            ModelError: If no metric of the model is named `loss`.
        """
        self._batch_loss = BatchLoss(self.model)
        build_multi_optimizer(self.model)
        self._hyper_parameters = HyperParameters(inner_optimizers(self.model.optimizer)[0])

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Reads rate and momentum. After the update, a schedule would give those of the next one."""
        self._rate = self._hyper_parameters.learning_rate()
        self._momentum = self._hyper_parameters.momentum()
        self._batch_loss.begin()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records rate, momentum and loss of the batch.

        Raises:
            ModelError: If a custom `train_step` hasn't updated the metric `loss`.
        """
        self.losses.append(self._batch_loss.end())
        self.learning_rates.append(self._rate)
        if self._momentum is not None:
            self.momentums.append(self._momentum)


_FIGURES = ("loss", "accuracy", "val_loss", "val_accuracy")


class TrainingRecorder(StepRecorder):
    """Records steps and epochs, tells the progress, and ends a training that has diverged.

    Attributes:
        epochs: The facts of each completed epoch.
        stop_reason: `None`, or why training was ended.

    Args:
        epochs_planned: Epochs in the whole training.
        batch_size: Images in a full batch.
        stage: Is told of each step.
    """

    def __init__(self, epochs_planned: int, batch_size: int, stage: Stage) -> None:
        super().__init__()
        self.epochs: list[Epoch] = []
        self.stop_reason: str | None = None
        self._epochs_planned = epochs_planned
        self._batch_size = batch_size
        self._stage = stage
        self._score = ""

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keeps the weights, to go back to if this epoch diverges."""
        self._started = time.perf_counter()
        self._epoch = epoch
        self._sound = [keras.ops.convert_to_numpy(variable) for variable in self.model.variables]

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the loss; one that is not finite ends the training."""
        super().on_train_batch_end(batch, logs)
        self._tell(self._batch_size)
        if not math.isfinite(self.losses[-1]):
            self._stop(f"the loss was not finite at step {batch + 1:,} of epoch {self._epoch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the epoch, or goes back to where it began."""
        figures = logs or {}
        if not math.isfinite(figures["val_loss"]):  # the very last update may have been the one that diverged
            self._stop(f"the validation loss was not finite after epoch {epoch + 1}")
        if self.stop_reason:
            for variable, value in zip(self.model.variables, self._sound, strict=True):
                variable.assign(value)
            return
        seconds = time.perf_counter() - self._started
        self.epochs.append(Epoch(**{name: figures[name] for name in _FIGURES}, seconds=seconds))
        self._score = f" · validation {percent(figures['val_accuracy'])}"
        self._tell(0)

    def _stop(self, reason: str) -> None:
        self.stop_reason = self.stop_reason or reason
        self.model.stop_training = True

    def _tell(self, images: int) -> None:
        self._stage.advance(images, f"epoch {self._epoch + 1}/{self._epochs_planned}{self._score}")
