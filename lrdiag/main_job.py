"""The main job: data, range test, training and report. It uses the same functions and callbacks as a user's script."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from lrdiag.backend.engine import engine
from lrdiag.backend.fit_arguments import FitArguments
from lrdiag.backend.tensorflow_only import tensorflow_left_out
from lrdiag.callback import ReportingCallback
from lrdiag.data import load_dataset
from lrdiag.data.ahead import Load
from lrdiag.data.batches import evaluation_batches, training_batches
from lrdiag.data.stages import Stages
from lrdiag.diagnosing import Reporter, Stopwatch
from lrdiag.diagnosis.assemble import dataset_facts
from lrdiag.diagnosis.compare import refuse_other_images
from lrdiag.diagnosis.gates import refuse_unknown_classes
from lrdiag.diagnosis.metadata import read_given
from lrdiag.explain.batch_size import LARGEST_BATCH
from lrdiag.inspection.images import GivenImages
from lrdiag.models import Network, at_any_size, build_network
from lrdiag.progress import SILENCE, Progress
from lrdiag.record import exchange, reading
from lrdiag.record import folder as run_folder
from lrdiag.record.arrays import Dataset, LabelledImages
from lrdiag.record.facts import DatasetFacts, Rates, Run, TrainingRun
from lrdiag.report.report import Report
from lrdiag.report.templates import html_environment
from lrdiag.settings import Settings
from lrdiag.training.budget import Budget
from lrdiag.training.fit import DEFAULT_RATES, Policy, compile_network, numerics, plan, train
from lrdiag.training.guard import DivergenceGuard
from lrdiag.training.progress_bar import TrainingProgress
from lrdiag.training.rates import choose_rates


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
    base = reading.load_baseline(settings.baseline) if settings.baseline else None
    metadata, groups = read_given(settings.metadata, settings.groups)
    html_environment(settings.templates)  # raises now, not after training
    with exchange.new_folder(settings.out), numerics(settings.seed, mixed_precision=settings.mixed_precision):
        job = Job.prepare(settings, progress, base, load)
        with clock.lap("range_test"):
            test, note, rates = choose_rates(
                settings.learning_rate, job.learner, job.batches(), optimizer=settings.optimizer, progress=progress
            )
        reporter = Reporter(
            data=(job.dataset.test,),
            seed=settings.seed,
            progress=progress,
            dataset=job.facts,
            files=job.dataset.test.files,
            metadata=metadata,
            groups=groups,
            model_name=job.network.name,
            command=command,
            settings=job.settings_shown(),
            range_test=test,
            range_test_note=note,
            train=job.dataset.train,
            baseline=base,
            gates=settings.gates,
            check_settings=settings.check_settings,
            made_by="train_and_report",
            notes=job.dataset.notes,
        )
        return _fit(job, rates, reporter, clock)


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

    def batches(self) -> Any:
        """Returns the training batches without end, the same ones each time."""
        return training_batches(
            self.dataset.train,
            batch_size=self.budget.batch_size,
            augment=self.settings.augment,
            seed=self.settings.seed,
            stages=self.stages if self.stages.are_several else None,
        )

    def validation_batches(self, step: Callable[[], int]) -> Any:
        """Returns the validation images in batches.

        Args:
            step: Returns the number of the current step, whose stage determines the size of the images.
        """
        size = (lambda: self.stages.size_at(step())) if self.stages.are_several else None
        return evaluation_batches(self.dataset.validation, LARGEST_BATCH, size)

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


def _fit(job: Job, rates: Rates, reporter: Reporter, clock: Stopwatch) -> Report:
    """Trains the network. The last callback saves it and writes the report."""
    batches, settings = job.batches(), job.settings
    policy = plan(settings.schedule, rates, job.steps_per_epoch, job.budget.epochs)
    guard = DivergenceGuard()
    last = _JobCallback(job, policy, guard, reporter, clock)
    with TrainingProgress(reporter.progress, len(job.dataset.train), job.budget.batch_size) as bar:
        train(
            job.learner,
            batches,
            job.validation_batches(lambda: len(last.losses) - 1),
            steps_per_epoch=job.steps_per_epoch,
            optimizer=settings.optimizer,
            policy=policy,
            epochs=job.budget.epochs,
            callbacks=[guard, bar, last],
        )
    if last.report is None:
        raise RuntimeError("training ended without a report")
    return last.report


class _JobCallback(ReportingCallback):
    """Saves the model before it is evaluated, and omits an undone epoch from the record."""

    def __init__(self, job: Job, policy: Policy, guard: DivergenceGuard, reporter: Reporter, clock: Stopwatch) -> None:
        given = job.settings
        super().__init__(given.out, reporter, clock=clock, assets=given.assets, templates=given.templates)
        self._job, self._policy, self._guard = job, policy, guard

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

    def write(self, stop_reason: str | None = None, *, interrupted: bool = False, is_last: bool = True) -> None:
        """Saves the model, then evaluates it and writes the report."""
        engine().synchronize(self.model)  # the saved model shares the weights of this one
        self._own = (self._job.save_model(),)
        super().write(stop_reason, interrupted=interrupted, is_last=is_last)


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
