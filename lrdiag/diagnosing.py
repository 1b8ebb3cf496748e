"""`diagnose`: evaluates a model and returns its report. Every other report of lrdiag is made here too."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrdiag.backend.device import device
from lrdiag.data.inputs import DEFAULT_BATCH_SIZE
from lrdiag.data.sampling import random_subset
from lrdiag.diagnosis.gates import Gate, check, with_outcomes
from lrdiag.diagnosis.scores import training_sample
from lrdiag.errors import DataError, require_count
from lrdiag.evaluation.evaluator import BATCH_SIZE, Evaluated, Evaluator
from lrdiag.progress import SILENCE, Progress
from lrdiag.record import provenance
from lrdiag.record.arrays import NO_IMAGES, LabelledImages
from lrdiag.record.facts import (
    DatasetFacts,
    MadeBy,
    RangeTestFacts,
    Run,
    RunFacts,
    Seconds,
    TrainingRun,
    TrainingSample,
)
from lrdiag.report.report import Report, build_report, facts_of, run_of
from lrdiag.training.history import training_of

if TYPE_CHECKING:
    import keras

    from lrdiag.evaluation.evolution import Watched
    from lrdiag.evaluation.keeper import Display
    from lrdiag.rate.range_test import RangeTest
    from lrdiag.vocabulary import Preprocessing


TRAIN_SAMPLE = 2_000  # training images


def diagnose(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    history: Any = None,
    range_test: RangeTest | RangeTestFacts | None = None,
    display: Display | None = None,
    preprocess: Preprocessing | None = None,
    output: str | int | None = None,
    baseline: str | Path | Report | None = None,
    name: str = "",
    files: Sequence[str] = (),
    batch_size: int = DEFAULT_BATCH_SIZE,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Evaluates a model on a test set and returns its report, with a heatmap of each misclassified image.

    This takes a single pass over the data, and keeps only the misclassified images. The model is not changed. It may
    return probabilities, logits, or one number for two classes.

    Example:
        >>> import keras, lrdiag
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> images, labels = generator.random((40, 8, 8, 1), "float32"), generator.integers(0, 3, 40)
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, activation="softmax"),
        ... ])
        >>> report = lrdiag.diagnose(model, images, labels, class_names=["ant", "bee", "cow"])
        >>> len(report.heatmaps.indices) == report.diagnosis.misclassified.count
        True

    Args:
        model: A Keras model that takes images and returns one score per class.
        x: Images as the model takes them, an array of shape `(n, height, width, channels)`, `uint8` or float, or a nest
            of arrays; or a `tf.data.Dataset`, `keras.utils.PyDataset` or iterable of batches `(images, labels)`.
        y: Labels, if `x` is arrays: class indices of shape `(n,)`, or one row per image.
        class_names: Name of each class. Defaults to their numbers.
        history: The return value of `model.fit`, to show the training run on the page.
        range_test: The return value of `find_lr`, to show it on the page.
        display: The images to show, if the model's inputs can't be shown: a `uint8` array with one image for each
            input, or a function that computes them from a batch of inputs.
        preprocess: How the images were scaled, so that they can be shown: `"raw"`, `"0..1"`, `"-1..1"`, `"torch"`,
            `"caffe"` or `"standardized"`. By default it is inferred from their values.
        output: Name or index of the output to evaluate, if the model has several.
        baseline: An earlier report on the same images to compare with, or its run folder or report.json.
        name: Name of the data in the report.
        files: Name of the file of each image.
        batch_size: Number of images in a batch, if `x` is arrays.
        seed: Random seed of the heatmap check.
        progress: A listener for progress. Defaults to `None`.

    Returns:
        The report.

    Raises:
        DataError: If images, labels, names, pictures or history don't match.
        ModelError: If the model doesn't return one score per class, or has several outputs and `output` is missing.
        SettingsError: If an argument is outside its range.
        ComparisonError: If the baseline was evaluated on other images.
        RunFolderError: If the baseline can't be read.
    """
    require_count("seed", seed, at_least=0)
    training = training_of(history, model)
    reporter = Reporter(
        data=(x, y),
        display=display,
        preprocess=preprocess,
        output=output,
        batch_size=batch_size,
        seed=seed,
        progress=progress or SILENCE,
        class_names=class_names,
        data_name=name,
        files=files,
        settings={"preprocess": preprocess, "output": output, "seed": seed},
        range_test=range_test,
        baseline=None if baseline is None else run_of(baseline),
    )
    clock = Stopwatch()
    with clock.lap("predict_and_explain"):
        evaluated = reporter.evaluate(reporter.evaluator(model))
    return reporter.compared(reporter.report(model, evaluated, training=training, seconds=clock.seconds()))


class Stopwatch:
    """Measures the stages of a run.

    Args:
        started: When the run began, in seconds of `time.perf_counter`. Defaults to now.
    """

    def __init__(self, started: float | None = None) -> None:
        self._started = time.perf_counter() if started is None else started
        self._laps: dict[str, float] = {}

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Measures a block. `name` is a field of `Seconds`."""
        begun = time.perf_counter()
        yield
        self.note(name, time.perf_counter() - begun)

    def note(self, name: str, seconds: float) -> None:
        """Records a stage that was measured elsewhere."""
        self._laps[name] = seconds

    def seconds(self) -> Seconds:
        """Returns the stages so far, and the time since the start."""
        return Seconds(**self._laps, total=time.perf_counter() - self._started)


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """Evaluates a model on one test set and builds its report. `diagnose`, the callback and the commands use it.

    Attributes:
        data: The test set, `(x, y)` or `(x,)` as `Evaluator.evaluate` takes them.
        display: See `diagnose`.
        preprocess: See `diagnose`.
        output: See `diagnose`.
        batch_size: See `diagnose`.
        seed: Random seed of the heatmap check and of the training images that the page shows.
        progress: The listener.
        class_names: See `diagnose`. Unused if `dataset` is given.
        data_name: Name of the data in the report. Unused if `dataset` is given.
        dataset: Facts of the data. `None` reads them from the images that were evaluated.
        files: See `diagnose`.
        model_name: Name of the model in the report. `None` uses the model's own name.
        command: The command line that repeats the run.
        settings: The settings that the page shows. Those that are `None` are left out.
        range_test: The range test, or `None`.
        range_test_note: Why there is no range test, or why it gave no rate.
        train: The training images, if they are available.
        baseline: An earlier run to compare with, or `None`.
        gates: Limits that the run must meet.
        made_by: The part of lrdiag that makes the report. It decides which remedies the findings name.
        notes: Sentences about the data that a reader needs to interpret the figures.
    """

    data: tuple[Any, ...]
    display: Display | None = None
    preprocess: Preprocessing | None = None
    output: str | int | None = None
    batch_size: int = BATCH_SIZE
    seed: int = 0
    progress: Progress = SILENCE
    class_names: Sequence[str] | None = None
    data_name: str = ""
    dataset: DatasetFacts | None = None
    files: Sequence[str] = ()
    model_name: str | None = None
    command: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    range_test: RangeTest | RangeTestFacts | None = None
    range_test_note: str | None = None
    train: LabelledImages = NO_IMAGES
    baseline: Run | None = None
    gates: tuple[Gate, ...] = ()
    made_by: MadeBy = "diagnose"
    notes: tuple[str, ...] = ()

    def evaluator(self, model: keras.Model) -> Evaluator:
        """Returns the evaluator of a model. It can be used again while the model is trained."""
        return Evaluator(model, output=self.output, batch_size=self.batch_size)

    def rehearse(self, evaluator: Evaluator) -> None:
        """Evaluates the first batch, so that errors appear before training.

        Raises:
            LrdiagError: If the data, the names or the model can't be used.
        """
        classes = evaluator.rehearse(*self.data, display=self.display, preprocess=self.preprocess)
        self._classes(classes)

    def evaluate(self, evaluator: Evaluator, *, keep_every_map: bool = False) -> Evaluated:
        """Predicts every image and explains the misclassified ones."""
        return evaluator.evaluate(
            *self.data,
            display=self.display,
            preprocess=self.preprocess,
            seed=self.seed,
            progress=self.progress,
            fingerprint=None if self.dataset is None else self.dataset.test_fingerprint,
            keep_every_map=keep_every_map,
        )

    def train_sample(self, evaluator: Evaluator) -> TrainingSample | None:
        """Predicts a random sample of the training images in inference mode, without augmentation.

        Returns:
            Accuracy and loss on the sample, or `None` without training images.
        """
        if not len(self.train):
            return None
        return training_sample(evaluator.predict(random_subset(self.train, TRAIN_SAMPLE, self.seed)))

    def report(
        self,
        model: keras.Model,
        evaluated: Evaluated,
        *,
        training: TrainingRun | None,
        train_sample: TrainingSample | None = None,
        seconds: Seconds,
        watched: Watched | None = None,
    ) -> Report:
        """Builds the report, without the comparison with the baseline.

        Raises:
            DataError: If there isn't one name for each class, or one file for each image.
        """
        names = self._classes(evaluated.predictions.classes)
        return build_report(
            evaluated,
            self.dataset or facts_of(evaluated, names, self.data_name),
            run=self._run_facts(model, evaluated),
            training=training,
            range_test=self.range_test,
            range_test_note=self.range_test_note,
            train=self.train,
            files=_files(self.files, evaluated),
            watched=watched,
            seed=self.seed,
            seconds=seconds,
            train_sample=train_sample,
            made_by=self.made_by,
        )

    def compared(self, report: Report) -> Report:
        """Returns the report with its comparison with the baseline, if there is one, and the outcome of its gates.

        Raises:
            ComparisonError: If the baseline was evaluated on other images.
        """
        report = report if self.baseline is None else report.compared_with(self.baseline)
        diagnosis = with_outcomes(report.diagnosis, check(self.gates, report.diagnosis))
        return dataclasses.replace(report, run=dataclasses.replace(report.run, diagnosis=diagnosis))

    def _classes(self, classes: int) -> list[str]:
        return class_names_of(self.class_names, classes) if self.dataset is None else self.dataset.classes

    def _run_facts(self, model: keras.Model, evaluated: Evaluated) -> RunFacts:
        return RunFacts(
            model=self.model_name or model.name,
            parameters=model.count_params(),
            device=device(),
            command=self.command,
            git_commit=provenance.git_commit(),
            settings={key: value for key, value in self.settings.items() if value is not None},
            versions=provenance.versions(),
            value_range=evaluated.value_range,
            notes=[*self.notes, *evaluated.notes],
        )


def class_names_of(names: Sequence[str] | None, classes: int) -> list[str]:
    """Returns the names of `classes` classes, or their numbers if `names` is `None`.

    Raises:
        DataError: If there isn't one name for each class.
    """
    if names is None:
        return [str(index) for index in range(classes)]
    if isinstance(names, str) or len(names) != classes:
        raise DataError(
            f"`class_names` must name each of the {classes} classes that the model scores, in its order. "
            f"Received: {len(names)} names" + (", in one string" if isinstance(names, str) else "")
        )
    return [str(each) for each in names]


def _files(files: Sequence[str], evaluated: Evaluated) -> tuple[str, ...]:
    size = len(evaluated.predictions.labels)
    if len(files) not in (0, size):
        raise DataError(f"`files` must name one file for each image. Received: {len(files)} names for {size} images")
    return tuple(str(file) for file in files)
