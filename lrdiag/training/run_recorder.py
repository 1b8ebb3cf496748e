"""Records a training run: every step and every epoch."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import keras

from lrdiag.backend.callback_list import running_list
from lrdiag.backend.engine import engine
from lrdiag.backend.logs import Output
from lrdiag.backend.optimizers import batch_counter, batches_per_update, inner_optimizers, schedule_of
from lrdiag.backend.weights import fingerprint
from lrdiag.record.facts import Epoch, NotFinite, TimeSpent, TrainingRun
from lrdiag.record.unfinished import RunRecord
from lrdiag.training.history import describe_optimizer, epoch_of, not_finite_in
from lrdiag.training.recorder import StepRecorder
from lrdiag.training.timeline import Timeline


class RunRecorder(StepRecorder):
    """Records the steps and the epochs of a training run.

    A `fit` whose `initial_epoch` is the end of a recorded epoch of the same model continues the record after that
    epoch. Every other `fit` begins a new record.

    Attributes:
        epochs: Loss and accuracy of each completed epoch.
        first_epoch: Number of the first epoch of the record, counted from 1.
        epoch: Number of the last epoch that has begun, counted from 1.
        not_finite: Where a loss was NaN or infinite for the first time, or `None`.
        paused: Seconds of the current `fit` that don't count as training.

    Args:
        output: The output whose loss and accuracy are recorded if the model has several: its name or its index.
    """

    def __init__(self, output: str | int | None = None) -> None:
        super().__init__()
        self._output_given = output
        self._timeline: Timeline | None = None
        self._epochs_before_fit: int | None = None
        self._recorded: keras.Model | None = None
        self._begin_record(first_epoch=1)

    def _begin_record(self, first_epoch: int) -> None:
        self.learning_rates, self.momentums, self.losses = [], [], []
        self.epochs: list[Epoch] = []
        self.first_epoch, self.epoch = first_epoch, first_epoch
        self.not_finite: NotFinite | None = None
        self._earlier_updates = 0
        self._steps_at_ends: list[int] = []
        self._updates_at_ends: list[int] = []
        self._weights_at_ends: list[bytes] = []
        self._time_before_fit: list[TimeSpent] = []

    def record(self) -> RunRecord:
        """Returns what is known at the end of an epoch, for `continue_from`."""
        now = [] if self._timeline is None else [*self._timeline.epochs, self._timeline.current()]
        return RunRecord(
            first_epoch=self.first_epoch,
            epochs=self.epochs,
            learning_rates=self.learning_rates,
            momentums=self.momentums,
            losses=self.losses,
            not_finite=self.not_finite,
            earlier_updates=self._earlier_updates,
            steps_at_ends=self._steps_at_ends,
            updates_at_ends=self._updates_at_ends,
            weights_at_ends=self._weights_at_ends,
            time=[*self._time_before_fit, *now][: len(self.epochs)],
        )

    def continue_from(self, record: RunRecord) -> None:
        """Continues the record of another process. Call it in `fit`, before the first epoch begins."""
        self._begin_record(record.first_epoch)
        self.epochs, self.losses = list(record.epochs), list(record.losses)
        self.learning_rates, self.momentums = list(record.learning_rates), list(record.momentums)
        self.not_finite, self._earlier_updates = record.not_finite, record.earlier_updates
        self._steps_at_ends, self._updates_at_ends = list(record.steps_at_ends), list(record.updates_at_ends)
        self._weights_at_ends = list(record.weights_at_ends)
        # each process must compile the step once, so only the compilations of this one tell whether there are too many
        self._time_before_fit = [replace(each, compilations=each.compilations and 0) for each in record.time]
        self.epoch = max(self.first_epoch, self.last_epoch)
        self._recorded = self.model
        self._epochs_before_fit = len(self.epochs)

    def _continue_record(self, epochs: int) -> None:
        """Keeps the first `epochs` epochs, without the steps that were made since."""
        steps = self._steps_at_ends[epochs - 1]
        del self.learning_rates[steps:], self.momentums[steps:], self.losses[steps:]
        del self.epochs[epochs:], self._steps_at_ends[epochs:], self._updates_at_ends[epochs:]
        del self._weights_at_ends[epochs:]
        del self._time_before_fit[epochs:]
        if self.not_finite and self.not_finite.epoch >= self.first_epoch + epochs:
            self.not_finite = None

    @property
    def last_epoch(self) -> int:
        """Number of the last completed epoch, counted from 1. One less than `first_epoch` if there is none."""
        return self.first_epoch - 1 + len(self.epochs)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Prepares the recording. The first epoch decides whether it continues the record or begins a new one."""
        super().on_train_begin(logs)
        running = running_list(self)
        self._beside = [] if running is None else [each for each in running.callbacks if each is not self]
        self._output = Output.of(self.model, self._output_given)
        self._averages = any(optimizer.use_ema for optimizer in inner_optimizers(self.model.optimizer))
        self._epochs_before_fit = None
        self.paused = 0.0
        self._fit_started = time.perf_counter()
        self._begin_timeline(running)

    def _begin_timeline(self, running: keras.callbacks.CallbackList | None) -> None:
        if self._timeline:
            self._time_before_fit += self._timeline.epochs
        self._timeline = None
        if running is not None:
            self._timeline = Timeline(self.model, lambda: time.perf_counter() - self.paused)
            self._timeline.place(running)
            self._measured.watch = self._timeline.watch

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock of the epoch."""
        if self._epochs_before_fit is None:  # only now: `BackupAndRestore` changes `initial_epoch`
            self._place_fit(epoch)
        self.epoch = epoch + 1
        self._epoch_started = time.perf_counter()

    def _place_fit(self, initial_epoch: int) -> None:
        kept = initial_epoch - (self.first_epoch - 1)
        if self._recorded is self.model and 0 < kept <= len(self.epochs):
            self._continue_record(kept)
        else:
            self._begin_record(initial_epoch + 1)
            self._recorded = self.model
            self._earlier_updates = self.updates()
        self._epochs_before_fit = len(self.epochs)

    def _steps_of_last_epoch(self) -> int:
        """The number of recorded steps of the last completed epoch."""
        ends = [0, *self._steps_at_ends]
        return ends[-1] - ends[-2]

    def updates(self) -> int:
        """Returns the number of updates that the optimizer has made."""
        optimizer = self.model.optimizer
        batches = int(engine().number(batch_counter(inner_optimizers(optimizer)[0]), self.model).read())
        return batches // batches_per_update(optimizer)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records the step."""
        super().on_train_batch_end(batch, logs)
        if self.not_finite is None and not math.isfinite(self.losses[-1]):
            step = len(self.losses) - (self._steps_at_ends[-1] if self._steps_at_ends else 0)
            self.not_finite = not_finite_in({"loss": self.losses[-1]}, self.epoch, step)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Records the epoch."""
        logs = logs or {}
        self.epochs.append(epoch_of(logs, time.perf_counter() - self._epoch_started, self._output))
        self.not_finite = self.not_finite or not_finite_in(logs, self.epoch)
        self._steps_at_ends.append(len(self.losses))
        self._updates_at_ends.append(self.updates())
        self._weights_at_ends.append(fingerprint(self.model))

    def training(self, *, stop_reason: str | None = None, interrupted: bool = False) -> TrainingRun:
        """Returns the record so far.

        Args:
            stop_reason: Why training stopped early, in words. `None` if it didn't.
            interrupted: Whether the user stopped it.
        """
        schedule = schedule_of(inner_optimizers(self.model.optimizer)[0])
        weights_epoch, weights = self._weights()
        planned = self._planned_epochs()
        ended_early = self.model.stop_training and len(self.epochs) < planned and stop_reason is None
        return TrainingRun(
            epochs=list(self.epochs),
            learning_rate_per_step=list(self.learning_rates),
            loss_per_step=self.loss_per_step if self._output is None else [],
            steps_per_epoch=self._steps_per_epoch(),
            epochs_planned=planned,
            optimizer=describe_optimizer(self.model, self.momentum_per_step),
            schedule="" if schedule is None else f"rate by {type(schedule).__name__}",
            stop_reason=stop_reason,
            seconds=self._seconds(),
            momentum_per_step=self.momentum_per_step,
            interrupted=interrupted,
            first_epoch=self.first_epoch,
            earlier_updates=self._earlier_updates,
            output=None if self._output is None else self._output.name,
            weights_epoch=weights_epoch,
            weights="" if interrupted else weights,
            ended_by=self._ender() if ended_early else "",
            not_finite=self.not_finite,
            time=self._time(),
        )

    def _time(self) -> TimeSpent | None:
        if self._timeline is None:
            return None
        return sum([*self._time_before_fit, *self._timeline.epochs, self._timeline.current()], TimeSpent())

    def _seconds(self) -> float:
        earlier = sum(each.seconds or 0.0 for each in self.epochs[: self._epochs_before_fit or 0])
        return earlier + time.perf_counter() - self._fit_started - self.paused

    def _planned_epochs(self) -> int:
        has_begun = self._epochs_before_fit is not None  # not if `initial_epoch` is the last epoch already
        last_epoch = (self.params or {}).get("epochs") if has_begun else None
        return int(last_epoch) - self.first_epoch + 1 if last_epoch else len(self.epochs)

    def _steps_per_epoch(self) -> int:
        """Number of recorded steps in a complete epoch. If the length of the data is unknown, it is counted."""
        batches = (self.params or {}).get("steps")
        if batches:
            return math.ceil(int(batches) / int(self.model.steps_per_execution))
        return max(1, self._steps_at_ends[0] if self._steps_at_ends else len(self.losses))

    def _weights(self) -> tuple[int | None, str]:
        """Returns the epoch at whose end the model had the weights that it has now, or `None`; and these in words."""
        if not self.epochs:
            return None, ""
        now = fingerprint(self.model)
        places = [place for place, weights in enumerate(self._weights_at_ends) if weights == now]
        if not places:
            average = "the moving average of the optimizer (`use_ema`)"
            return None, average if self._averages else "those that a callback set after the last epoch"
        epoch = self.first_epoch + places[-1]
        if epoch == self.last_epoch:
            return epoch, f"those of epoch {epoch}, the last"
        restoring = [type(each).__name__ for each in self._beside if getattr(each, "restore_best_weights", False)]
        return epoch, f"those of epoch {epoch}, which {restoring[0] if len(restoring) == 1 else 'a callback'} restored"

    def _ender(self) -> str:
        """Returns the name of the callback that ended training."""
        for each in self._beside:
            found_nan = self.not_finite is not None and isinstance(each, keras.callbacks.TerminateOnNaN)
            if found_nan or getattr(each, "stopped_epoch", None):
                return type(each).__name__
        return "a callback"
