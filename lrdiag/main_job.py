"""The main job: data, range test, training and report. It uses the same functions and callbacks as a user's script."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras

from lrdiag import checkpoint
from lrdiag.backend.engine import engine, engine_name
from lrdiag.backend.fit_arguments import FitArguments
from lrdiag.backend.memory import shortage_explained
from lrdiag.backend.tensorflow_only import tensorflow_left_out
from lrdiag.callback import ReportingCallback
from lrdiag.checkpoint import Checkpoint, Environment, Origin
from lrdiag.data import load_dataset
from lrdiag.data.ahead import Load
from lrdiag.data.batches import evaluation_batches, training_batches
from lrdiag.data.stages import Stages
from lrdiag.diagnosing import Reporter, Stopwatch
from lrdiag.diagnosis.assemble import dataset_facts
from lrdiag.diagnosis.compare import refuse_other_images
from lrdiag.diagnosis.gates import refuse_unknown_classes
from lrdiag.diagnosis.metadata import read_given
from lrdiag.errors import RunFolderError
from lrdiag.explain.batch_size import LARGEST_BATCH
from lrdiag.inspection.images import GivenImages
from lrdiag.models import Network, at_any_size, build_network
from lrdiag.models.structure import structure_of
from lrdiag.progress import SILENCE, Progress
from lrdiag.record import exchange, reading, unfinished
from lrdiag.record import folder as run_folder
from lrdiag.record.arrays import Dataset, LabelledImages
from lrdiag.record.facts import DatasetFacts, Run, TrainingRun
from lrdiag.record.fingerprint import identity_of
from lrdiag.report.report import Report
from lrdiag.report.templates import html_environment
from lrdiag.settings import Settings
from lrdiag.stopping import signals_raised, stopped
from lrdiag.training.budget import Budget
from lrdiag.training.continuation import collected, restore
from lrdiag.training.fit import DEFAULT_RATES, Policy, compile_network, numerics, plan, train
from lrdiag.training.guard import DivergenceGuard
from lrdiag.training.progress_bar import TrainingProgress
from lrdiag.training.rates import choose_rates

_SECONDS_FOR_REPORT = 25
"""From a signal until the report is left out. Clusters end a process 30 seconds after SIGTERM."""
_TO_CONTINUE = "The same command with `--resume` continues the training."


def run_main_job(
    settings: Settings,
    progress: Progress = SILENCE,
    *,
    command: str = "",
    started: float | None = None,
    load: Load = load_dataset,
) -> Report:
    """Does what `train_and_report` does, with validated settings.

    Args:
        settings: The settings.
        progress: The listener.
        command: The command line that repeats the run, for the page.
        started: When the work began, in seconds of `time.perf_counter`. Defaults to now.
        load: Reads the data, or gives data that is being read.
    """
    clock = Stopwatch(started)
    kept = _taken_up(settings, clock, progress)
    base = reading.load_baseline(settings.baseline) if settings.baseline else None
    metadata, groups = read_given(settings.metadata, settings.groups)
    html_environment(settings.templates)  # raises now, not after training
    with (
        signals_raised(),
        exchange.new_folder(settings.out),
        numerics(settings.seed, mixed_precision=settings.mixed_precision),
    ):
        job = Job.prepare(settings, progress, base, load)
        origin = _begun(job, command, clock, progress) if kept is None else _continued(job, kept, progress)
        reporter = Reporter(
            data=(job.dataset.test,),
            batch_size=None if settings.batch_size is None else job.largest_batch,
            seed=settings.seed,
            progress=progress,
            dataset=job.facts,
            files=job.dataset.test.files,
            metadata=metadata,
            groups=groups,
            model_name=job.network.name,
            command=origin.command,
            settings=job.settings_shown(),
            range_test=origin.range_test,
            range_test_note=origin.range_test_note,
            train=job.dataset.train,
            baseline=base,
            gates=settings.gates,
            check_settings=settings.check_settings,
            made_by="train_and_report",
            notes=job.dataset.notes,
        )
        report = _fit(job, origin, kept, reporter, clock)
        unfinished.discard(settings.out)
        return report


def _taken_up(settings: Settings, clock: Stopwatch, progress: Progress) -> Checkpoint | None:
    """Returns the checkpoint to continue from, or `None` for a new run.

    Raises:
        LrdiagError: If there is none to resume, or this process can't continue it.
    """
    if not settings.resume:
        checkpoint.announce(settings.out, progress)
        return None
    kept = checkpoint.load(settings.out)
    kept.origin.environment.refuse_other_engine(engine_name(), progress)
    checkpoint.refuse_other_training(settings, checkpoint.settings_of(kept.origin.settings, settings.out))
    clock.continue_from(kept.seconds)
    return kept


def _begun(job: Job, command: str, clock: Stopwatch, progress: Progress) -> Origin:
    """Chooses the learning rates, and returns what the run begins with."""
    with clock.lap("range_test"):
        test, note, rates = choose_rates(
            job.settings.learning_rate, job.learner, job.batches(), optimizer=job.settings.optimizer, progress=progress
        )
    return Origin(
        environment=Environment.of(engine_name()),
        settings=checkpoint.plain(job.settings),
        command=command,
        epochs=job.budget.epochs,
        data=identity_of(job.dataset),
        network=structure_of(job.network.model, job.settings.model),
        range_test=test,
        range_test_note=note,
        rates=rates,
    )


def _continued(job: Job, kept: Checkpoint, progress: Progress) -> Origin:
    """Returns what the run began with, if data and network are the same.

    Raises:
        RunFolderError: If they aren't.
    """
    origin = kept.origin
    with progress.stage(checkpoint.describe(kept)):
        if identity_of(job.dataset) != origin.data:
            raise RunFolderError(
                "A run can be resumed only on the same images and labels. Restore them, or train again without "
                f"`--resume`. Received: {job.settings.data or job.dataset.name} with other images or labels than the "
                f"unfinished run, which read {origin.settings.get('data') or 'the default data'}"
            )
        if structure_of(job.network.model, job.settings.model) != origin.network:
            raise RunFolderError(
                "A run can be resumed only with the same network. Restore its code or its file, or train again without "
                f"`--resume`. Received: {job.settings.model} with other layers than the unfinished run"
            )
    return dataclasses.replace(origin, settings=checkpoint.plain(job.settings), resumes=origin.resumes + 1)


@dataclass(frozen=True)
class Job:
    """The network, the data and the length of a training run.

    Attributes:
        settings: The settings.
        dataset: Training, validation and test images.
        facts: The facts of the dataset.
        network: The network, for images of their full size.
        learner: The same network, with the same weights, for the sizes of all stages.
        budget: Batch size and number of epochs.
        stages: The sizes of the training images in the course of training.
    """

    settings: Settings
    dataset: Dataset
    facts: DatasetFacts
    network: Network
    learner: Network
    budget: Budget
    stages: Stages

    @classmethod
    def prepare(cls, settings: Settings, progress: Progress, base: Run | None = None, load: Load = load_dataset) -> Job:
        """Loads the data and builds the network.

        Raises:
            LrdiagError: If the data or the network can't be used, or the data doesn't match the gates or the baseline.
        """
        dataset = load(settings, progress)
        facts = dataset_facts(dataset)
        refuse_other_data(settings, base, facts)
        network = build_network(settings.model, dataset.train, len(dataset.classes))
        budget = Budget.of(settings.batch_size, settings.epochs, len(dataset.train), network.recipe)
        stages = _stages(settings, network, dataset.train, budget)
        learner = network
        if stages.are_several:
            channels, classes = dataset.train.images.shape[3], len(dataset.classes)
            model = at_any_size(network.model, stages.smallest, channels, classes)
            learner = dataclasses.replace(network, model=model)
        return cls(settings, dataset, facts, network, learner, budget, stages)

    @property
    def steps_per_epoch(self) -> int:
        """Number of updates in a pass over the training images."""
        return self.budget.steps_per_epoch(len(self.dataset.train))

    @property
    def largest_batch(self) -> int:
        """Number of images that are evaluated at once, at most. A batch size that the user gave limits it too."""
        return min(LARGEST_BATCH, self.settings.batch_size or LARGEST_BATCH)

    def batches(self, first_epoch: int = 0) -> Any:
        """Returns the training batches without end, the same ones each time.

        Args:
            first_epoch: The epoch to begin with, counted from 0.
        """
        return training_batches(
            self.dataset.train,
            batch_size=self.budget.batch_size,
            augment=self.settings.augment,
            seed=self.settings.seed,
            stages=self.stages if self.stages.are_several else None,
            start=first_epoch * self.steps_per_epoch,
        )

    def validation_batches(self, step: Callable[[], int]) -> Any:
        """Returns the validation images in batches.

        Args:
            step: Returns the number of the current step, whose stage determines the size of the images.
        """
        size = (lambda: self.stages.size_at(step())) if self.stages.are_several else None
        return evaluation_batches(self.dataset.validation, self.largest_batch, size)

    def save_model(self) -> str:
        """Saves the model, compiled without lrdiag's schedules, so that Keras loads it without lrdiag.

        Returns:
            Its name in the run folder, until the report is written.
        """
        compile_network(self.network, self.settings.optimizer, DEFAULT_RATES[self.settings.optimizer])
        model = self.network.model
        model.optimizer.build(model.trainable_variables)  # otherwise Keras warns when it loads the model
        place = exchange.place_for_model(self.settings.out)
        with run_folder.replacing(place) as temporary, tensorflow_left_out():
            model.save(temporary)
        return exchange.model_is_saved(self.settings.out, place)

    def how_to_go_on(self, model: str) -> str:
        """Returns where the trained model is, and the command that evaluates it.

        Args:
            model: Its name in the run folder.
        """
        file = self.settings.out / model
        data = "digits" if self.facts.fallback else self.settings.data
        given = {"--data": data, "--data-dir": self.settings.data_dir}
        options = [str(each) for option, value in given.items() if value is not None for each in (option, value)]
        command = shlex.join(["lrdiag", "diagnose", str(file), *options])
        return f"The trained model is in {file}. `{command}` evaluates it and writes a report."

    def settings_shown(self) -> dict[str, Any]:
        """Returns the settings that the page shows, defaults filled in."""
        shown = ("data", "model", "seed", "limit_train", "limit_test", "optimizer", "schedule", "mixed_precision")
        return {
            "resize": self.settings.resize,
            **{name: getattr(self.settings, name) for name in shown},
            **vars(self.budget),
            "progressive": self.stages.are_several,
            "augment": ",".join(self.settings.augment) or "none",
            "learning_rate": str(self.settings.learning_rate),
        }


def _fit(job: Job, origin: Origin, kept: Checkpoint | None, reporter: Reporter, clock: Stopwatch) -> Report:
    """Trains the network. The last callback saves it and writes the report."""
    settings, first_epoch = job.settings, 0 if kept is None else kept.next_epoch
    batches = job.batches(first_epoch)
    policy = plan(settings.schedule, origin.rates, job.steps_per_epoch, job.budget.epochs)
    guard = DivergenceGuard()
    last = _JobCallback(job, policy, guard, reporter, clock, origin, kept)
    with (
        TrainingProgress(reporter.progress, len(job.dataset.train), job.budget.batch_size, first_epoch) as bar,
        last.rescuing(),
        shortage_explained(),
    ):
        train(
            job.learner,
            batches,
            job.validation_batches(lambda: len(last.losses) - 1),
            steps_per_epoch=job.steps_per_epoch,
            optimizer=settings.optimizer,
            policy=policy,
            epochs=job.budget.epochs,
            first_epoch=first_epoch,
            callbacks=[guard, bar, last],
        )
    if last.report is None:
        raise RuntimeError("training ended without a report")
    return last.report


class _JobCallback(ReportingCallback):
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
        super().__init__(given.out, reporter, clock=clock, assets=given.assets, templates=given.templates)
        self._job, self._policy, self._guard = job, policy, guard
        self._tried_to_save_at = 0
        self._is_in_step = False
        self._origin, self._kept = origin, kept
        self._file = given.out / unfinished.CHECKPOINT

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Prepares the recording. Continues from the checkpoint if there is one, or writes the first one."""
        super().on_train_begin(logs)
        if self._kept is None:
            self._keep()
        else:
            read = partial(unfinished.read_arrays, self._file)
            restore(self._kept.training, read, self, self._policy, self._guard)
            self._watch.continue_from(self._kept.training.watched)

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


def _stages(settings: Settings, network: Network, train: LabelledImages, budget: Budget) -> Stages:
    height, width = train.images.shape[1:3]
    steps = budget.epochs * budget.steps_per_epoch(len(train))
    is_progressive = network.recipe.is_progressive if settings.progressive is None else settings.progressive
    return (Stages.of if is_progressive else Stages.none)((height, width), steps)


def refuse_other_data(settings: Settings, base: Run | None, facts: DatasetFacts) -> None:
    """Raises before anything slow if the data doesn't match the gates or the baseline.

    Raises:
        SettingsError: If a gate names an unknown class.
        ComparisonError: If the baseline has other test images or classes.
    """
    refuse_unknown_classes(settings.gates, facts.classes)
    if base:
        refuse_other_images(base.diagnosis.dataset, facts)
