"""The whole story: from photographs to the page."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lrdiag import environment, run_folder
from lrdiag.data import evaluation_batches, load_dataset, training_batches
from lrdiag.diagnosis.assemble import assemble, dataset_facts
from lrdiag.diagnosis.compare import refuse_other_images
from lrdiag.errors import ModelError, NoSuggestion
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.trust import measure_trust
from lrdiag.gates import refuse_unknown_classes
from lrdiag.models import Network, build_network
from lrdiag.progress import Progress, Silence
from lrdiag.rate.range_test import find_lr
from lrdiag.rate.result import RangeTest
from lrdiag.records import (
    Dataset,
    HeatmapFacts,
    Heatmaps,
    HeatmapTrust,
    Predictions,
    RangeTestFacts,
    Rates,
    Run,
    RunFacts,
    Seconds,
    TrainingRun,
)
from lrdiag.report.baseline import set_beside
from lrdiag.report.pictures import lay_out
from lrdiag.report.tables import write_tables
from lrdiag.report.templates import html_environment
from lrdiag.report.write import write_page
from lrdiag.settings import CYCLE_RATIO, Settings
from lrdiag.training import CUSTOMARY_RATES, compile_network, plan, train

EVALUATION_BATCH = 512
TRUST_SAMPLE = 200  # mistakes whose maps are tested
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
        ```python
        run = lrdiag.train_and_report(lrdiag.Settings(data="digits", out=Path("digits-report")))
        print(run.diagnosis.test.accuracy)
        ```

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
            predictions, heatmaps, how = _predict_and_explain(network, dataset, settings, progress)
    with clock.lap("report"), progress.stage("Writing the page"):
        sheets, pictures = lay_out(dataset, predictions, heatmaps, settings.seed)
        diagnosis = assemble(
            dataset,
            predictions,
            range_test=range_test,
            range_test_note=note,
            training=training,
            heatmaps=how,
            sheets=sheets,
            run=_run_facts(network, settings, budget, command),
        )
        run = Run(dataclasses.replace(diagnosis, seconds=clock.seconds()), pictures)
        run = set_beside(base, run) if base else run
        _save_model(network, settings)
        write_tables(settings.out, diagnosis, dataset.test, predictions, heatmaps)
        run_folder.save(settings.out, run)  # a template that fails must not cost the training
        write_page(settings.out, run, assets=settings.assets, templates=settings.templates)
    run = dataclasses.replace(run, diagnosis=dataclasses.replace(run.diagnosis, seconds=clock.seconds()))
    run_folder.save(settings.out, run)
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
        half = "float16" if environment.has_gpu() else "bfloat16"  # processors have no fast float16
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
    customary = CUSTOMARY_RATES[settings.optimizer]
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
    compile_network(network, settings.optimizer, CUSTOMARY_RATES[settings.optimizer])
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


def _predict_and_explain(
    network: Network, dataset: Dataset, settings: Settings, progress: Progress
) -> tuple[Predictions, Heatmaps | None, HeatmapFacts]:
    with progress.stage("Predicting and explaining", len(dataset.test), "images") as stage:
        try:
            explainer = GradCAM(network.model, batch_size=EVALUATION_BATCH)
            predictions, heatmaps = explainer.predict_and_explain(dataset.test, on_batch=stage.advance)
        except ModelError as error:  # a network without feature maps has mistakes too
            stage.advance(len(dataset.test))
            predictions = Predictions.from_scores(_predict(network, dataset.test.images), dataset.test.labels)
            return predictions, None, HeatmapFacts("Grad-CAM", None, 0, str(error))
    trust = _measure_trust(network, dataset, predictions, heatmaps, settings, progress)
    return predictions, heatmaps, HeatmapFacts("Grad-CAM", heatmaps.layer, len(heatmaps.indices), trust=trust)


def _measure_trust(
    network: Network,
    dataset: Dataset,
    predictions: Predictions,
    heatmaps: Heatmaps,
    settings: Settings,
    progress: Progress,
) -> HeatmapTrust | None:
    """How far the maps can be trusted, measured on a random sample of the mistakes; `None` where none can be."""
    usable = np.flatnonzero(np.isfinite(heatmaps.predicted).all(axis=(1, 2)))
    if not len(usable):
        return None
    generator = np.random.default_rng(settings.seed)
    sample = np.sort(generator.choice(usable, min(TRUST_SAMPLE, len(usable)), replace=False))
    images = heatmaps.indices[sample]
    with progress.stage("Testing the heatmaps"):
        return measure_trust(
            lambda batch: _predict(network, batch),
            dataset.test.images[images],
            heatmaps.predicted[sample],
            predictions.predicted[images],
        )


def _predict(network: Network, images: np.ndarray) -> np.ndarray:
    return np.asarray(network.model.predict(images, batch_size=EVALUATION_BATCH, verbose=0))


def _run_facts(network: Network, settings: Settings, budget: Budget, command: str) -> RunFacts:
    shown = ("data", "model", "seed", "limit_train", "limit_test", "optimizer", "schedule", "mixed_precision")
    return RunFacts(
        model=network.name,
        parameters=network.model.count_params(),
        device=environment.device(),
        command=command,
        git_commit=environment.git_commit(),
        settings={
            **{name: getattr(settings, name) for name in shown},
            **vars(budget),
            "augment": ",".join(settings.augment) or "none",
            "learning_rate": str(settings.learning_rate),
        },
        versions=environment.versions(),
    )


def _save_model(network: Network, settings: Settings) -> None:
    """Saves the network; compiled plainly first, so that Keras loads it without knowing lrdiag's schedules."""
    compile_network(network, settings.optimizer, CUSTOMARY_RATES[settings.optimizer])
    network.model.optimizer.build(network.model.trainable_variables)  # else Keras warns of it when it loads
    with run_folder.replacing(settings.out / "model.keras") as temporary:
        network.model.save(temporary)
