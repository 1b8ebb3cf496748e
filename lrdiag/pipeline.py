"""The whole story: from photographs to the page."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lrdiag.backend.device import has_gpu
from lrdiag.data import evaluation_batches, load_dataset, load_test_set, training_batches
from lrdiag.data.batches import preprocessed_batches
from lrdiag.data.preprocessing import preprocess
from lrdiag.diagnosis.assemble import dataset_facts
from lrdiag.diagnosis.compare import refuse_other_images
from lrdiag.diagnosis.gates import refuse_unknown_classes
from lrdiag.errors import DataError, NoSuggestion
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.models import Network, build_network, load_model, takes_images
from lrdiag.policies.finder import find_lr
from lrdiag.progress import Progress, Silence
from lrdiag.rate.range_test import RangeTest
from lrdiag.record import folder as run_folder
from lrdiag.record.arrays import Dataset
from lrdiag.record.facts import RangeTestFacts, Rates, Run, Seconds, TrainingRun
from lrdiag.report.report import build_report, run_facts
from lrdiag.report.templates import html_environment
from lrdiag.settings import Judging, Settings
from lrdiag.training.fit import DEFAULT_RATES, compile_network, plan, train
from lrdiag.vocabulary import CYCLE_RATIO

EVALUATION_BATCH = 512
RANGE_TEST_STEPS = 100
LARGE_TRAINING_SET = 10_000  # images; from here on batches of 128
MIN_EPOCHS = 4
MIN_STEPS = 250  # fewer updates leave a network raw, however many epochs they make
SILENCE = Silence()


def train_and_report(
    settings: Settings, progress: Progress = SILENCE, *, command: str = "", started: float | None = None
) -> Run:
    """Finds the learning rate, trains, diagnoses, explains, and writes the run folder.

    Example:
        >>> import tempfile
        >>> import lrdiag
        >>> given = lrdiag.LearningRate(0.1)  # without it, a range test comes first
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     settings = lrdiag.Settings(
        ...         data="digits", learning_rate=given, epochs=1, limit_train=200, limit_test=50, out=Path(folder)
        ...     )
        ...     run = lrdiag.train_and_report(settings)
        ...     (Path(folder) / "report.html").exists(), run.diagnosis.test.size
        (True, 50)

    Args:
        settings: What to do.
        progress: Who listens; nobody by default.
        command: What the page names as the way to make it again.
        started: When the work began, in seconds of `time.perf_counter`; now by default.

    Returns:
        The run, as the folder `settings.out` now holds it.

    Raises:
        LrdiagError: If the settings, the data, the network or the folder cannot be used.
    """
    clock = Stopwatch(started)
    base = run_folder.load_baseline(settings.baseline) if settings.baseline else None
    html_environment(settings.templates)  # what cannot be used is refused before anything slow is started
    run_folder.create(settings.out)
    with _numerics(settings):
        dataset = load_dataset(settings, progress)
        refuse_unknown_classes(settings.gates, dataset.classes)
        if base:
            refuse_other_images(base.diagnosis.dataset, dataset_facts(dataset))
        network = build_network(settings.model, dataset.train, len(dataset.classes))
        budget = Budget.of(settings, len(dataset.train))
        with clock.lap("range_test"):
            range_test, note, rates = _choose_rates(network, dataset, settings, budget, progress)
        with clock.lap("training"):
            training = _train(network, dataset, settings, budget, rates, progress)
        with clock.lap("predict_and_explain"):
            evaluated = Evaluator(network.model).evaluate(dataset.test, seed=settings.seed, progress=progress)
    with clock.lap("report"), progress.stage("Writing the page"):
        report = build_report(
            evaluated,
            dataset_facts(dataset),
            run=run_facts(
                network.model, evaluated, _settings_shown(settings, budget), name=network.name, command=command
            ),
            training=training,
            range_test=range_test,
            range_test_note=note,
            train=dataset.train,
            files=dataset.test.files,
            seed=settings.seed,
            seconds=clock.seconds(),
        )
        report = report.compared_with(base) if base else report
        _save_model(network, settings)
        report.save(settings.out, assets=settings.assets, templates=settings.templates)
    return _with_times(report.run, settings.out, clock)


def judge(judging: Judging, progress: Progress = SILENCE, *, command: str = "", started: float | None = None) -> Run:
    """Judges a trained model on data from disk, and writes the run folder.

    Example:
        ```python
        run = judge(Judging("flowers.keras", data="photographs/", out=Path("flowers-report")))
        ```

    Args:
        judging: What to do.
        progress: Who listens; nobody by default.
        command: What the page names as the way to make it again.
        started: When the work began, in seconds of `time.perf_counter`; now by default.

    Returns:
        The run, as the folder `judging.out` now holds it.

    Raises:
        LrdiagError: If the model, the data or the folder cannot be used.
    """
    clock = Stopwatch(started)
    base = run_folder.load_baseline(judging.baseline) if judging.baseline else None
    html_environment(judging.templates)
    run_folder.create(judging.out)
    with progress.stage("Loading the model"):
        model = load_model(judging.model, trust=judging.trust)
    height, width, channels = takes_images(model)
    size = judging.image_size or ((height, width) if height and width else None)
    dataset = load_test_set(judging.data, judging.data_dir, size, channels, progress)
    facts = dataset_facts(dataset)
    refuse_unknown_classes(judging.gates, facts.classes)
    if base:
        refuse_other_images(base.diagnosis.dataset, facts)
    evaluator = Evaluator(model, output=judging.output)
    first = preprocess(dataset.test.images[:1], judging.preprocess)
    scored = evaluator.rehearse(first, np.zeros(1, np.int64), preprocess=judging.preprocess)
    _refuse_other_classes(model, scored, dataset)
    with clock.lap("predict_and_explain"):
        evaluated = evaluator.evaluate(
            preprocessed_batches(dataset.test, judging.preprocess, EVALUATION_BATCH),
            preprocess=judging.preprocess,
            seed=judging.seed,
            progress=progress,
        )
    with clock.lap("report"), progress.stage("Writing the page"):
        shown = {
            "data": judging.data,
            "model": judging.model,
            "preprocess": judging.preprocess,
            "output": judging.output,
        }
        report = build_report(
            evaluated,
            facts,
            run=run_facts(model, evaluated, shown, name=judging.model, command=command),
            training=None,
            files=dataset.test.files,
            seed=judging.seed,
            seconds=clock.seconds(),
        )
        report = report.compared_with(base) if base else report
        report.save(judging.out, assets=judging.assets, templates=judging.templates)
    return _with_times(report.run, judging.out, clock)


def _refuse_other_classes(model: keras.Model, scored: int, dataset: Dataset) -> None:
    if scored != len(dataset.classes):
        raise DataError(
            "The data must have the classes that the model scores, in the order of their names. Add a folder for each, "
            f"empty ones too, or take the model's own data. Received: {len(dataset.classes)} classes in "
            f"{dataset.source}, and {model.name!r} scores {scored}"
        )


def _with_times(run: Run, folder: Path, clock: Stopwatch) -> Run:
    """The run with the time that writing took, which the page itself cannot know."""
    run = dataclasses.replace(run, diagnosis=dataclasses.replace(run.diagnosis, seconds=clock.seconds()))
    run_folder.save(folder, run)
    return run


def run_range_test(
    settings: Settings, progress: Progress = SILENCE, *, iterations: int = RANGE_TEST_STEPS, **sweep: Any
) -> RangeTest:
    """Runs the range test alone, on the data and the network of a run.

    Example:
        ```python
        test = run_range_test(lrdiag.Settings(data="digits"), repeats=3)
        print(test.suggest(), test.interval())
        ```

    Args:
        settings: What would be trained, and how.
        progress: Who listens; nobody by default.
        iterations: Updates in one sweep.
        **sweep: What else `find_lr` takes: `start_lr`, `end_lr`, `mode`, `repeats` and so on.

    Raises:
        LrdiagError: If the settings, the data or the network cannot be used.
    """
    with _numerics(settings):
        dataset = load_dataset(settings, progress)
        network = build_network(settings.model, dataset.train, len(dataset.classes))
        budget = Budget.of(settings, len(dataset.train))
        return _sweep(network, dataset, settings, budget, progress, iterations=iterations, **sweep)


@dataclass(frozen=True)
class Budget:
    """How much training there is: images in one update, and passes over the training set."""

    batch_size: int
    epochs: int

    @classmethod
    def of(cls, settings: Settings, train_size: int) -> Budget:
        """What the settings ask for, or else what the size of the training set asks for."""
        batch_size = settings.batch_size or (128 if train_size >= LARGE_TRAINING_SET else 64)
        steps_per_epoch = math.ceil(train_size / batch_size)
        return cls(batch_size, settings.epochs or max(MIN_EPOCHS, math.ceil(MIN_STEPS / steps_per_epoch)))


class Stopwatch:
    """Measures the laps of a run.

    Args:
        started: When the run began, in seconds of `time.perf_counter`; now by default.
    """

    def __init__(self, started: float | None = None) -> None:
        self._started = time.perf_counter() if started is None else started
        self._laps: dict[str, float] = {}

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Measures what happens inside."""
        begun = time.perf_counter()
        yield
        self._laps[name] = time.perf_counter() - begun

    def seconds(self) -> Seconds:
        """The laps so far, and the time since the beginning."""
        return Seconds(**self._laps, total=time.perf_counter() - self._started)


@contextmanager
def _numerics(settings: Settings) -> Iterator[None]:
    """Seeds every random choice and sets the precision, the latter until the end of the block."""
    keras.utils.set_random_seed(settings.seed)
    before = keras.config.dtype_policy()
    if settings.mixed_precision:
        half = "float16" if has_gpu() else "bfloat16"  # processors have no fast float16
        keras.config.set_dtype_policy(f"mixed_{half}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _choose_rates(
    network: Network, dataset: Dataset, settings: Settings, budget: Budget, progress: Progress
) -> tuple[RangeTestFacts | None, str | None, Rates]:
    """The rates to train with: as given, else by a range test, else, said loudly, the customary ones."""
    if settings.learning_rate.rate is not None:
        given = settings.learning_rate.rate
        base_lr = settings.learning_rate.base_lr or given / CYCLE_RATIO
        return None, "The learning rate was given, so none was looked for.", Rates(base_lr, given, given)
    customary = DEFAULT_RATES[settings.optimizer]
    test = _sweep(network, dataset, settings, budget, progress, iterations=RANGE_TEST_STEPS)
    facts = test.facts()
    try:
        base_lr, max_lr = test.bounds()
    except NoSuggestion as error:
        note = f"{error} The customary rate of {settings.optimizer}, {customary:g}, was used instead."
        progress.warn(note)
        return facts, note, Rates(customary / CYCLE_RATIO, customary, customary)
    return facts, None, Rates(base_lr, max_lr, test.suggest())


def _sweep(
    network: Network,
    dataset: Dataset,
    settings: Settings,
    budget: Budget,
    progress: Progress,
    *,
    iterations: int,
    repeats: int = 1,
    **sweep: Any,
) -> RangeTest:
    compile_network(network, settings.optimizer, DEFAULT_RATES[settings.optimizer])
    with progress.stage("Range test", iterations * repeats, "steps") as stage:
        return find_lr(
            network.model,
            _training_batches(dataset, settings, budget),
            iterations=iterations,
            repeats=repeats,
            on_step=lambda loss: stage.advance(1, f"loss {loss:.3g}"),
            **sweep,
        )


def _train(
    network: Network, dataset: Dataset, settings: Settings, budget: Budget, rates: Rates, progress: Progress
) -> TrainingRun:
    batches = _training_batches(dataset, settings, budget)
    with progress.stage("Training", len(dataset.train) * budget.epochs, "images") as stage:
        return train(
            network,
            batches,
            evaluation_batches(dataset.validation, EVALUATION_BATCH),
            optimizer=settings.optimizer,
            policy=plan(settings.schedule, rates, int(batches.cardinality()), budget.epochs),
            epochs=budget.epochs,
            batch_size=budget.batch_size,
            stage=stage,
        )


def _training_batches(dataset: Dataset, settings: Settings, budget: Budget) -> Any:
    return training_batches(dataset.train, batch_size=budget.batch_size, augment=settings.augment, seed=settings.seed)


def _settings_shown(settings: Settings, budget: Budget) -> dict[str, Any]:
    shown = ("data", "model", "seed", "limit_train", "limit_test", "optimizer", "schedule", "mixed_precision")
    return {
        **{name: getattr(settings, name) for name in shown},
        **vars(budget),
        "augment": ",".join(settings.augment) or "none",
        "learning_rate": str(settings.learning_rate),
    }


def _save_model(network: Network, settings: Settings) -> None:
    """Saves the network; compiled plainly first, so that Keras loads it without knowing lrdiag's schedules."""
    compile_network(network, settings.optimizer, DEFAULT_RATES[settings.optimizer])
    network.model.optimizer.build(network.model.trainable_variables)  # else Keras warns of it when it loads
    with run_folder.replacing(settings.out / "model.keras") as temporary:
        network.model.save(temporary)
