"""The callback of the main job: it keeps the training run from being lost, and writes its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import keras

from lrdiag.backend.engine import engine
from lrdiag.backend.fit_arguments import FitArguments
from lrdiag.backend.memory import shortage_explained
from lrdiag.backend.seeds import RandomState
from lrdiag.callback import ReportingCallback
from lrdiag.checkpoint import Checkpoint, Origin
from lrdiag.diagnosing import Reporter, Stopwatch
from lrdiag.errors import RunFolderError
from lrdiag.inspection.images import GivenImages
from lrdiag.job import Job
from lrdiag.record import unfinished
from lrdiag.record.facts import TrainingRun
from lrdiag.stopping import stopped
from lrdiag.training.continuation import collected, restore
from lrdiag.training.fit import Policy
from lrdiag.training.guard import DivergenceGuard

_SECONDS_FOR_REPORT = 25
"""From a signal until the report is left out. Clusters end a process 30 seconds after SIGTERM."""
_TO_CONTINUE = "The same command with `--resume` continues the training."


class JobCallback(ReportingCallback):
    """Saves the model before it is evaluated, and omits an undone epoch from the record.

    After a signal, the model is saved in any case. A second signal, or the end of `_SECONDS_FOR_REPORT`, stops the
    writing of the report.

    It writes a checkpoint before the first epoch and after each. If `kept` is one, training continues from there: what
    is done before the first step is the same in each process, and then everything that training changes is restored.
    """

    def __init__(
        self,
        job: Job,
        policy: Policy,
        guard: DivergenceGuard,
        reporter: Reporter,
        clock: Stopwatch,
        origin: Origin,
        kept: Checkpoint | None,
    ) -> None:
        given = job.settings
        super().__init__(
            given.out,
            reporter,
            clock=clock,
            assets=given.assets,
            templates=given.templates,
            images=given.images,
            file_names=given.file_names,
        )
        self._job, self._policy, self._guard = job, policy, guard
        self._tried_to_save_at = 0
        self._is_in_step = False
        self._origin, self._kept = origin, kept
        self._file = given.out / unfinished.CHECKPOINT
        self._random: RandomState | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Prepares the recording. Continues from the checkpoint if there is one, or writes the first one."""
        super().on_train_begin(logs)
        if self._kept is None:
            self._keep()
        else:
            read = partial(unfinished.read_arrays, self._file)
            restore(self._kept.training, read, self, self._policy, self._guard)
            self._watch.continue_from(self._kept.training.watched)
            if self._kept.next_epoch:  # otherwise `fit` begins as it did
                self._random = RandomState(self._kept.training.random)

    def _keep(self) -> None:
        """Writes a checkpoint. If that fails, training goes on: an earlier checkpoint is kept."""
        training, values = collected(self, self._watch.record(), self._policy, self._guard)
        try:
            unfinished.write(self._file, Checkpoint(self._origin, training, self._stopwatch.seconds()), values)
        except RunFolderError as error:
            self._announce(f"This run could not be resumed after epoch {self.last_epoch}. {error}")

    def _evaluated_model(self) -> keras.Model:
        return self._job.network.model

    def _training_images(self, fit: FitArguments | None) -> GivenImages:
        """The training images without augmentation."""
        return GivenImages("the training images", self._job.dataset.train, batch_size=self._job.budget.batch_size)

    def training(self, *, stop_reason: str | None = None, interrupted: bool = False) -> TrainingRun:
        """Returns the record so far, with the policy in words."""
        run = super().training(stop_reason=stop_reason or self._guard.stop_reason, interrupted=interrupted)
        completed = run.epochs[: self._guard.completed_epochs]
        stages = list(self._job.stages.stages) if self._job.stages.are_several else []
        run = dataclasses.replace(run, epochs=completed, schedule=self._policy.description, stages=stages)
        if self._guard.stop_reason is None:
            return run
        return dataclasses.replace(run, weights_epoch=len(completed) or None, weights="")

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Prepares the measuring of the step."""
        self._is_in_step = True
        if self._random is not None:  # with PyTorch, `fit` draws random numbers before the first step of a process
            self._random.restore()
            self._random = None
        super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records the step. From then on there is a model that must not be lost, so a second signal waits for it."""
        self._is_in_step = False
        self._interrupt.hold()
        super().on_train_batch_end(batch, logs)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Saves the model and writes the report. A signal that arrives meanwhile ends the run after that."""
        try:
            self.write()
        finally:
            self._interrupt.stop_listening()
        if self._interrupt.number is not None:
            raise _noted(stopped(self._interrupt.number), f"The model and its report are in {self._folder}.")

    def _ended_by(self, number: int) -> BaseException:
        left = f"The model and the report of the training so far are in {self._folder}."
        return _noted(super()._ended_by(number), left, _TO_CONTINUE)

    def write(self, stop_reason: str | None = None, *, interrupted: bool = False, is_last: bool = True) -> None:
        """Saves the model, then evaluates it and writes the report."""
        with self._saying_what_is_left(interrupted):
            self._save_model()
            self._interrupt.release()
            with self._interrupt.limited(_SECONDS_FOR_REPORT), shortage_explained():
                super().write(stop_reason, interrupted=interrupted, is_last=is_last)

    def _save_model(self) -> None:
        self._tried_to_save_at = len(self.losses)
        engine().synchronize(self.model)  # the saved model shares the weights of this one
        self._own = (self._job.save_model(),)

    @contextmanager
    def _saying_what_is_left(self, interrupted: bool) -> Iterator[None]:
        """Adds to an error in the block where the model is. After a signal, the signal decides how the run ends."""
        try:
            yield
        except BaseException as error:
            number = self._interrupt.number
            notes = [self._job.how_to_go_on(*self._own)] if self._own else ["The model could not be saved."]
            if interrupted or not self._own:
                notes.append(_TO_CONTINUE)
            if number is None:
                _noted(error, *notes)
                raise
            reason = f" ({error})" if isinstance(error, Exception) else ""
            raise _noted(stopped(number), f"The report was left out{reason}.", *notes) from error

    @contextmanager
    def rescuing(self) -> Iterator[None]:
        """Saves the model after an error in the block, unless a step was changing the weights."""
        try:
            yield
        except Exception as error:
            if self.losses and not self._is_in_step and self._tried_to_save_at != len(self.losses):
                with self._saying_what_is_left(interrupted=True):
                    self._save_model()
                    raise error
            raise


def _noted(error: BaseException, *notes: str) -> BaseException:
    for each in notes:
        error.add_note(each)
    return error
