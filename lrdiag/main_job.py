"""The main job: data, range test, training and report. It uses the same functions and callbacks as a user's script."""

from __future__ import annotations

import dataclasses

from lrdiag import checkpoint
from lrdiag.backend.engine import engine, engine_name
from lrdiag.backend.memory import shortage_explained
from lrdiag.checkpoint import Checkpoint, Environment, Origin
from lrdiag.data import load_dataset
from lrdiag.data.ahead import Load
from lrdiag.diagnosing import Reporter, Stopwatch
from lrdiag.diagnosis.metadata import read_given
from lrdiag.errors import RunFolderError, SettingsError
from lrdiag.job import Job
from lrdiag.job_callback import JobCallback
from lrdiag.models.structure import structure_of
from lrdiag.progress import SILENCE, Progress
from lrdiag.record import exchange, reading, unfinished
from lrdiag.record.fingerprint import identity_of
from lrdiag.report.report import Report
from lrdiag.report.templates import html_environment
from lrdiag.settings import Settings
from lrdiag.stopping import signals_raised
from lrdiag.training.fit import numerics, plan, train
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
        _refuse_several_processes()
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


def _refuse_several_processes() -> None:
    """Raises if this process trains together with others. It is known only when the engine is imported.

    Raises:
        SettingsError: If it does.
    """
    if engine().processes() > 1:
        raise SettingsError(
            "`train_and_report` trains in one process. With several, call `model.fit` with `lrdiag.ReportCallback`. "
            f"Received: {engine().processes()} processes"
        )


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


def _fit(job: Job, origin: Origin, kept: Checkpoint | None, reporter: Reporter, clock: Stopwatch) -> Report:
    """Trains the network. The last callback saves it and writes the report."""
    settings, first_epoch = job.settings, 0 if kept is None else kept.next_epoch
    batches = job.batches(first_epoch)
    policy = plan(settings.schedule, origin.rates, job.steps_per_epoch, job.budget.epochs)
    guard = DivergenceGuard()
    last = JobCallback(job, policy, guard, reporter, clock, origin, kept)
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
