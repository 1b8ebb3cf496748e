"""Records a training run: every step and every epoch."""

from __future__ import annotations

import math
import time

from lrdiag.backend.optimizers import inner_optimizers, schedule_of
from lrdiag.record.facts import Epoch, TrainingRun
from lrdiag.training.history import describe_optimizer, epoch_of
from lrdiag.training.recorder import StepRecorder


class RunRecorder(StepRecorder):
    """Records the steps and the epochs of a training run. Each `fit` begins a new record.

    Attributes:
        epochs: Loss and accuracy of each completed epoch.
        paused: Seconds of `fit` that don't count as training.
    """

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begins a new record."""
        super().on_train_begin(logs)
        self.learning_rates, self.momentums, self.losses = [], [], []
        self.epochs: list[Epoch] = []
        self.paused = 0.0
        self.epochs_begun = 0
        self._epochs_before = 0
        self._steps_in_first_epoch = 0
        self._started = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock of the epoch."""
        if not self.epochs_begun:
            self._epochs_before = epoch  # more than 0 if `fit` has an `initial_epoch`
        self.epochs_begun += 1
        self._epoch_started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records the step."""
        super().on_train_batch_end(batch, logs)
        if self.epochs_begun == 1:
            self._steps_in_first_epoch += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Records the epoch."""
        self.epochs.append(epoch_of(logs or {}, time.perf_counter() - self._epoch_started))

    def training(self, *, stop_reason: str | None = None, interrupted: bool = False) -> TrainingRun:
        """Returns the record so far.

        Args:
            stop_reason: Why training stopped early, in words. `None` if it didn't.
            interrupted: Whether the user stopped it.
        """
        last_epoch = (self.params or {}).get("epochs")
        schedule = schedule_of(inner_optimizers(self.model.optimizer)[0])
        return TrainingRun(
            epochs=list(self.epochs),
            learning_rate_per_step=list(self.learning_rates),
            loss_per_step=self.loss_per_step,
            steps_per_epoch=self._steps_per_epoch(),
            epochs_planned=int(last_epoch) - self._epochs_before if last_epoch else len(self.epochs),
            optimizer=describe_optimizer(self.model, self.momentum_per_step),
            schedule="" if schedule is None else f"rate by {type(schedule).__name__}",
            stop_reason=stop_reason,
            seconds=time.perf_counter() - self._started - self.paused,
            momentum_per_step=self.momentum_per_step,
            interrupted=interrupted,
        )

    def _steps_per_epoch(self) -> int:
        """Number of recorded steps in a complete epoch. If the length of the data is unknown, it is counted."""
        batches = (self.params or {}).get("steps")
        return math.ceil(batches / self.model.steps_per_execution) if batches else max(1, self._steps_in_first_epoch)
