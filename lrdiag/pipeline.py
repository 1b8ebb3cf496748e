"""`train_and_report`, the range test alone, and the evaluation of a saved model."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lrdiag import checkpoint
from lrdiag.checkup import checked
from lrdiag.data import list_test_images
from lrdiag.data.batches import PreprocessedBatches
from lrdiag.data.followed import FollowedImages
from lrdiag.data.listed import ListedImages
from lrdiag.data.loading import warn_of
from lrdiag.data.preprocessing import preprocess
from lrdiag.data.sources.parquet_images import Columns
from lrdiag.diagnosing import Reporter, Stopwatch
from lrdiag.diagnosis.compare import refuse_other_images
from lrdiag.diagnosis.findings.checking import Checked
from lrdiag.diagnosis.gates import refuse_unknown_classes
from lrdiag.diagnosis.metadata import read_given
from lrdiag.errors import DataError, ModelError, SettingsError
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.inspection.images import GivenImages, Sample
from lrdiag.inspection.inspector import Inspector
from lrdiag.job import Job
from lrdiag.main_job import run_main_job
from lrdiag.models import load_model, takes_images
from lrdiag.progress import SILENCE, Progress
from lrdiag.rate.range_test import RangeTest
from lrdiag.record import exchange, reading
from lrdiag.record import folder as run_folder
from lrdiag.record.arrays import LabelledImages
from lrdiag.record.facts import Diagnosis
from lrdiag.record.files import is_regular
from lrdiag.report.privacy import HIDDEN
from lrdiag.report.report import Report
from lrdiag.report.templates import html_environment
from lrdiag.settings import DiagnoseSettings, LearningRate, Settings
from lrdiag.studying import NO_TRAINING_IMAGES
from lrdiag.training.fit import DEFAULT_RATES, compile_network, numerics
from lrdiag.training.rates import RANGE_TEST_STEPS, sweep
from lrdiag.vocabulary import AssetsName, FailOn, OptimizerName, ResizeName, ScheduleName

_DEFAULTS = {each.name: each.default for each in dataclasses.fields(DiagnoseSettings)}
_JOINED = {"fail_under": "gates", "fail_if_worse": "gates", "fail_on": "gates"}
_JOINED |= {"checks": "check_settings", "accept": "check_settings"}
"""Keywords of `train_and_report` that make one setting."""
_OF_A_RUN = ("data", "resize", "image_column", "label_column", "preprocess", "output")
"""Settings that the evaluation of a run's model takes from the run, unless they are given."""


def train_and_report(
    data: str | PathLike[str] | Settings | None = Settings.data,
    *,
    data_dir: str | PathLike[str] | None = Settings.data_dir,
    image_size: str | int | tuple[int, int] | None = Settings.image_size,
    resize: ResizeName = Settings.resize,
    image_column: str | None = Settings.image_column,
    label_column: str | None = Settings.label_column,
    model: str = Settings.model,
    epochs: int | None = Settings.epochs,
    progressive: bool | None = Settings.progressive,
    batch_size: int | None = Settings.batch_size,
    seed: int = Settings.seed,
    limit_train: int | None = Settings.limit_train,
    limit_test: int | None = Settings.limit_test,
    out: str | PathLike[str] = Settings.out,
    augment: str | Iterable[str] | None = Settings.augment,
    optimizer: OptimizerName = Settings.optimizer,
    schedule: ScheduleName = Settings.schedule,
    learning_rate: LearningRate | float | str | tuple[float, float] = Settings.learning_rate,
    mixed_precision: bool = Settings.mixed_precision,
    baseline: str | PathLike[str] | None = Settings.baseline,
    metadata: Any = None,
    groups: str | tuple[Any, Any] | None = None,
    fail_under: Mapping[str, float] | float | None = None,
    fail_if_worse: Mapping[str, float] | float | None = None,
    fail_on: FailOn | None = None,
    checks: Mapping[str, object] | None = None,
    accept: Mapping[str, str] | None = None,
    assets: AssetsName = Settings.assets,
    templates: str | PathLike[str] | None = Settings.templates,
    images: bool = Settings.images,
    file_names: bool = Settings.file_names,
    resume: bool = Settings.resume,
    progress: Progress | None = None,
) -> Report:
    """Finds a learning rate, trains a model, evaluates it, and writes the report to a run folder.

    The run folder also contains the trained model, `model.keras`, which is saved before the evaluation. Ctrl-C during
    training saves and evaluates the model as it is, writes the report if 25 seconds suffice, and raises
    `KeyboardInterrupt`. SIGTERM does the same if the program has no handler for it, and raises `SystemExit(143)`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import lrdiag
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = lrdiag.train_and_report(
        ...         data="digits", epochs=1, learning_rate=0.1, limit_train=200, limit_test=50, out=folder
        ...     )
        ...     (Path(folder) / "report.html").exists(), report.diagnosis.test.size
        (True, 50)

    Args:
        data: `"cifar10"`, `"digits"`, or the path of your own data: a folder of images sorted into classes, a `.npz`
            file, a CSV or Parquet table, or a folder of TensorFlow Datasets. `None` uses CIFAR-10 if it is available,
            and the digits if it isn't.
        data_dir: The folder that contains CIFAR-10. `None` uses Keras's cache, or downloads CIFAR-10 to it.
        image_size: Size that images are scaled to, in pixels: one number, or height and width, such as `(48, 64)` or
            `"48x64"`. `None` uses the size in the file of arrays, or 32 for image files.
        resize: How images of other proportions are brought to this size. `"stretch"` changes their proportions, as
            `image_dataset_from_directory` does, `"crop"` cuts out their centre, and `"pad"` adds black borders.
        image_column: The column of the images in Parquet files, or their suffix in tar files. `None` detects it.
        label_column: The column of the labels in Parquet files, or their field in the JSON of tar files. `None` detects
            it.
        model: `"fast"`, `"article"`, a `.keras` file, or `module:function`.
        epochs: Number of passes over the training set. `None` chooses it by the size of the training set.
        progressive: Whether training begins on images of half and three quarters of their size. That takes less time,
            and needs a network for images of any size, for example one with global pooling. `None` decides by the
            network: `fast` is trained so.
        batch_size: Number of images in an update. `None` chooses it by the size of the training set.
        seed: Random seed of the whole run, 0 to 2147483647.
        limit_train: Use only this many training images, spread evenly over the classes.
        limit_test: Use only this many test images, spread evenly over the classes.
        out: The run folder to write.
        augment: Random augmentation of the training images, `"flip"`, `"crop"` and `"erase"`: a list, or text such as
            `"flip,crop"`. `None` or `"none"` for no augmentation.
        optimizer: Name of the optimizer.
        schedule: Name of the learning-rate schedule.
        learning_rate: A number; two boundaries, as `(0.01, 0.4)` or `"0.01:0.4"`; or `"auto"`, the default: a range
            test chooses.
        mixed_precision: Whether to compute in 16 bits where the layers allow it.
        baseline: An earlier run on the same test images to compare with: its run folder or its report.json.
        metadata: What else is known of each image, such as site, device or age: a CSV or Parquet file, a dictionary of
            columns, or a data frame. `lrdiag.diagnose` describes it.
        groups: What must not be divided between training and test images, such as patient, scene or lot: the name of a
            column of the metadata, or a pair `(groups of the training images, groups of the test images)`.
        fail_under: The minimum accuracy, from 0 to 1, or minimum values of several figures, such as
            `{"accuracy": 0.78, "recall.cat": 0.6}`. The page and `report.diagnosis.gates` show the outcome. A failed
            gate raises no error.
        fail_if_worse: How much the accuracy may be lower than that of the baseline, or how much several figures may
            be, such as `{"accuracy": 0.01}`.
        fail_on: `"error"`: the run must have no finding that is an error. `"warning"`: nor one that is a warning.
            Accepted findings do not count.
        checks: Settings of the checks, as in `lrdiag.diagnose`.
        accept: The reason why a finding is accepted, by its code. The page shows it as accepted.
        assets: `"inline"` writes one file. `"folder"` writes pictures and style to `assets/` beside the page.
        templates: A folder of templates that replace the built-in ones of the same name.
        images: See `Report.save`.
        file_names: See `Report.save`.
        resume: Whether to continue the unfinished run in `out`, whose process has ended, after its last complete epoch.
            On a CPU, the report is that of an uninterrupted run. The settings are those of the unfinished run: one
            that would change the training is refused. Name a `module:function` and `templates` again, because they
            are code.
        progress: A listener for progress. Defaults to `None`.

    Returns:
        The report that `out` now contains.

    Raises:
        LrdiagError: If the settings, the data, the model or the run folder can't be used.
    """
    given: dict[str, Any] = {
        "data_dir": data_dir,
        "image_size": image_size,
        "resize": resize,
        "image_column": image_column,
        "label_column": label_column,
        "model": model,
        "epochs": epochs,
        "progressive": progressive,
        "batch_size": batch_size,
        "seed": seed,
        "limit_train": limit_train,
        "limit_test": limit_test,
        "out": out,
        "augment": augment,
        "optimizer": optimizer,
        "schedule": schedule,
        "learning_rate": learning_rate,
        "mixed_precision": mixed_precision,
        "baseline": baseline,
        "metadata": metadata,
        "groups": groups,
        "fail_under": fail_under,
        "fail_if_worse": fail_if_worse,
        "fail_on": fail_on,
        "checks": checks,
        "accept": accept,
        "assets": assets,
        "templates": templates,
        "images": images,
        "file_names": file_names,
        "resume": resume,
    }
    if isinstance(data, Settings):
        _warn_of_settings(given)
        return run_main_job(data, progress or SILENCE)
    settings = Settings.of(data=data, **given)
    if resume:
        settings = checkpoint.resumed(settings, _given_settings({"data": data, **given}))
    return run_main_job(settings, progress or SILENCE)


def _given_settings(values: dict[str, Any]) -> set[str]:
    """Returns the names of the settings whose keyword has another value than its default."""
    defaults = {name: each.default for name, each in inspect.signature(train_and_report).parameters.items()}
    given = {
        name
        for name, value in values.items()
        if (value is not None if defaults[name] is None else value != defaults[name])
    }
    return {_JOINED.get(name, name) for name in given}


def _warn_of_settings(given: dict[str, Any]) -> None:
    also = [name for name, value in given.items() if value != getattr(Settings, name, None)]
    if also:
        raise SettingsError(
            "`train_and_report` takes either `Settings` or keyword arguments. Give keyword arguments alone. "
            f"Received: Settings and {', '.join(also)}"
        )
    warnings.warn(
        "`train_and_report(settings)` is deprecated. Pass the settings as keyword arguments: "
        '`train_and_report(data="digits", epochs=3)`.',
        DeprecationWarning,
        stacklevel=3,
    )


def diagnose_saved(
    settings: DiagnoseSettings, progress: Progress = SILENCE, *, command: str = "", started: float | None = None
) -> Report:
    """Evaluates a saved model on data from disk, and writes the report to a run folder.

    Example:
        ```python
        report = diagnose_saved(DiagnoseSettings("flowers.keras", data="flowers/", out=Path("flowers-report")))
        ```

    Args:
        settings: The settings.
        progress: The listener.
        command: The command line that repeats the run, for the page.
        started: When the work began, in seconds of `time.perf_counter`. Defaults to now.

    Returns:
        The report that `settings.out` now contains.

    Raises:
        LrdiagError: If the model, the data or the run folder can't be used.
    """
    clock = Stopwatch(started)
    base = reading.load_baseline(settings.baseline) if settings.baseline else None
    metadata, groups = read_given(settings.metadata, settings.groups)
    html_environment(settings.templates)
    settings, earlier, notes = of_run(settings)
    with exchange.new_folder(settings.out):
        model, listed = opened_model_and_images(settings, progress)
        images = FollowedImages(listed, progress)
        refuse_unknown_classes(settings.gates, listed.classes)
        reporter = Reporter(
            data=(PreprocessedBatches(images, settings.preprocess, settings.batch_size),),
            batch_size=settings.batch_size,
            preprocess=settings.preprocess,
            output=settings.output,
            seed=settings.seed,
            progress=progress,
            metadata=metadata,
            groups=groups,
            model_name=settings.model,
            command=command,
            settings=shown_settings(settings),
            range_test=earlier.range_test if earlier else None,
            range_test_note=earlier.range_test_note if earlier else None,
            baseline=base,
            gates=settings.gates,
            check_settings=settings.check_settings,
        )
        evaluator = reporter.evaluator(model)
        refuse_other_classes(evaluator, model, images.first(), settings, listed)
        inspector = Inspector(model, settings.output)
        inspector.look_at_model()
        with clock.lap("predict_and_explain"):
            evaluated = reporter.evaluate(evaluator, fingerprint="")  # that of the dataset is used
        facts = images.facts()
        warn_of(facts.skipped, images.labels, facts.classes, progress)
        if base:
            refuse_other_images(base.diagnosis.dataset, facts)
        notes = (*notes, *listed.notes(images.tally))
        reporter = dataclasses.replace(reporter, dataset=facts, files=images.files, notes=notes)
        inspector.look_at_layers(Sample(evaluator.first_images, None))
        studied = reporter.studied(evaluator, evaluated, NO_TRAINING_IMAGES)
        with clock.lap("report"), progress.stage("Writing the page"):
            training = earlier.training if earlier else None
            report = reporter.report(
                model, evaluated, training=training, studied=studied, seconds=clock.seconds(), inspection=inspector.seen
            )
            return reporter.compared(report).saved(
                settings.out,
                assets=settings.assets,
                templates=settings.templates,
                images=settings.images,
                file_names=settings.file_names,
                own=_model_in(settings.out, settings),
                seconds=clock.seconds_until_now,
            )


def opened_model_and_images(settings: DiagnoseSettings, progress: Progress) -> tuple[keras.Model, ListedImages]:
    """Loads the model and lists the images to evaluate it on.

    Raises:
        LrdiagError: If the model or the data can't be used.
    """
    with progress.stage("Loading the model"):
        model = load_model(settings.model, trust=settings.trust)
    height, width, channels = takes_images(model)
    size = settings.image_size or ((height, width) if height and width else None)
    columns = Columns(settings.image_column, settings.label_column)
    listed = list_test_images(
        settings.data, settings.data_dir, size, channels, progress, resize=settings.resize, columns=columns
    )
    return model, listed


def shown_settings(settings: DiagnoseSettings) -> dict[str, Any]:
    """Returns the settings that the page shows."""
    shown = ("data", "image_column", "label_column", "model", "resize", "preprocess", "output")
    return {name: getattr(settings, name) for name in shown}


def run_range_test(
    settings: Settings, progress: Progress = SILENCE, *, iterations: int = RANGE_TEST_STEPS, **options: Any
) -> RangeTest:
    """Runs only the range test of the main job.

    Example:
        ```python
        test = run_range_test(lrdiag.Settings(data="digits"), repeats=3)
        print(test.suggest(), test.interval())
        ```

    Args:
        settings: The data, the model and the optimizer.
        progress: The listener.
        iterations: Number of updates in one sweep.
        **options: Other arguments of `find_lr`: `start_lr`, `end_lr`, `mode`, `repeats` and so on.

    Raises:
        LrdiagError: If the settings, the data or the model can't be used.
    """
    with numerics(settings.seed, mixed_precision=settings.mixed_precision):
        job = Job.prepare(settings, progress)
        return sweep(
            job.learner,
            job.batches(),
            optimizer=settings.optimizer,
            progress=progress,
            iterations=iterations,
            **options,
        )


def run_check(settings: Settings, progress: Progress = SILENCE) -> Checked:
    """Checks the model and the training data of the main job before training.

    Args:
        settings: The data, the model, the optimizer and the highest learning rate. Without a rate, Keras's default for
            the optimizer is used.
        progress: The listener.

    Raises:
        LrdiagError: If the settings, the data or the model can't be used.
    """
    with numerics(settings.seed, mixed_precision=settings.mixed_precision):
        job = Job.prepare(settings, progress)
        if not job.network.model.compiled:
            rate = settings.learning_rate.rate or DEFAULT_RATES[settings.optimizer]
            compile_network(job.network, settings.optimizer, rate)
        with progress.stage("Checking"):
            return checked(
                job.network.model,
                GivenImages("the training images", job.dataset.train, batch_size=job.budget.batch_size),
                GivenImages("the validation images", job.dataset.validation),
                job.budget.epochs,
                settings=settings.check_settings,
            )


def of_run(settings: DiagnoseSettings) -> tuple[DiagnoseSettings, Diagnosis | None, tuple[str, ...]]:
    """Returns the settings to evaluate the model of a run, the run's record, and what is taken from it.

    If `settings.model` is no run folder, the settings are returned as they are.
    """
    folder = Path(settings.model)
    if not (folder / run_folder.REPORT).is_file():
        return settings, None, ()
    run = reading.load_baseline(folder).diagnosis
    model = model_of_run(folder, run)
    if settings.data is None and run.settings.get("data") == HIDDEN:
        raise SettingsError(
            "The data of a run without paths must be named again: `--data PATH`. Received: "
            f"{folder}, written with --no-file-names"
        )
    taken = {
        name: value
        for name, value in recorded_settings(run).items()
        if getattr(settings, name) == _DEFAULTS[name] != value
    }
    own = "".join(f", {name} {value}" for name, value in taken.items())
    note = f"From the run in {folder}: the model, the record of its training{own}."
    return dataclasses.replace(settings, model=model, **taken), run, (note,)


def recorded_settings(run: Diagnosis) -> dict[str, Any]:
    """Returns how the run read its data and evaluated its model, as far as it names that."""
    recorded: dict[str, Any] = {"data": "digits"} if run.dataset.fallback else {}
    known = {name: run.settings[name] for name in _OF_A_RUN if name in run.settings}
    return recorded | {name: value for name, value in known.items() if value != HIDDEN}


def model_of_run(folder: Path, run: Diagnosis) -> str:
    """Returns the path of the model in a run folder.

    Raises:
        ModelError: If there is none.
    """
    if not is_regular(folder / run_folder.MODEL):
        raise ModelError(
            f"The run folder contains no model, because `lrdiag train-and-report` alone saves one. Pass the model file "
            f"that the run evaluated. Received: {folder} without {run_folder.MODEL}, a run of the model {run.model!r}"
        )
    return str(folder / run_folder.MODEL)


def _model_in(folder: Path, settings: DiagnoseSettings) -> list[str]:
    """Returns the name of the model file if it is in the run folder, where it must then be kept."""
    own = folder / run_folder.MODEL
    return [run_folder.MODEL] if Path(settings.model).resolve() == own.resolve() else []


def refuse_other_classes(
    evaluator: Evaluator, model: keras.Model, first: LabelledImages, settings: DiagnoseSettings, listed: ListedImages
) -> None:
    """Raises unless the model takes the images and scores the classes of the data.

    Raises:
        LrdiagError: If it does not.
    """
    inputs = preprocess(first.images[:1], settings.preprocess)
    scored = evaluator.rehearse(inputs, np.zeros(1, np.int64), preprocess=settings.preprocess)
    if scored != len(listed.classes):
        raise DataError(
            "The data must have the classes that the model scores, in the order of their names. Add a folder for each, "
            f"empty ones too, or use the model's own data. Received: {len(listed.classes)} classes in "
            f"{listed.source}, and {model.name!r} scores {scored}"
        )
