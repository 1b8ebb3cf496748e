"""`diagnose`: evaluates a model and returns its report. Every other report of lrdiag is made here too."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrdiag.backend.device import device
from lrdiag.backend.engine import engine_name
from lrdiag.data.class_names import ClassNames, chosen_names, names_carried_by, names_in_order
from lrdiag.data.image_names import carried_files, given_files
from lrdiag.data.inputs import GivenData, starts_alike, unpacked
from lrdiag.diagnosis.check_settings import AS_IN_THE_TABLE, CheckSettings
from lrdiag.diagnosis.compare import refuse_other_images
from lrdiag.diagnosis.gates import Gate, check, with_outcomes
from lrdiag.diagnosis.metadata import GivenGroups, WholeSet, joined, read_given
from lrdiag.diagnosis.metadata_table import MetadataTable
from lrdiag.diagnosis.study import Studied
from lrdiag.errors import SettingsError, require_choice, require_count
from lrdiag.evaluation.evaluated import Evaluated
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.inspection.images import GivenImages, Sample
from lrdiag.inspection.inspector import Inspector
from lrdiag.models.accepted import require_keras_model
from lrdiag.progress import SILENCE, Progress
from lrdiag.record import provenance
from lrdiag.record.arrays import NO_IMAGES, LabelledImages
from lrdiag.record.facts import (
    DatasetFacts,
    Known,
    MadeBy,
    RangeTestFacts,
    Run,
    RunFacts,
    Seconds,
    TrainingRun,
)
from lrdiag.record.observed import NOTHING, ImageSet, Inspection
from lrdiag.report.report import Report, build_report, facts_of, run_of
from lrdiag.studying import EvaluatedTrainingImages, evaluate_training_images, studied
from lrdiag.training.history import training_of

if TYPE_CHECKING:
    import keras
    import numpy as np

    from lrdiag.evaluation.evolution import Watched
    from lrdiag.evaluation.lookout import Display
    from lrdiag.rate.range_test import RangeTest
    from lrdiag.vocabulary import Preprocessing

ENGINES = ("ray",)


def diagnose(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    steps: int | None = None,
    class_names: ClassNames | None = None,
    history: Any = None,
    range_test: RangeTest | RangeTestFacts | None = None,
    display: Display | None = None,
    preprocess: Preprocessing | None = None,
    output: str | int | None = None,
    baseline: str | Path | Report | None = None,
    checks: Mapping[str, object] | None = None,
    accept: Mapping[str, str] | None = None,
    name: str = "",
    files: Sequence[str] = (),
    metadata: Any = None,
    groups: str | tuple[Any, Any] | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    train_data: Any = None,
    images: bool = True,
    file_names: bool = True,
    engine: str | None = None,
    workers: int | None = None,
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
            of arrays; or a `tf.data.Dataset`, `keras.utils.PyDataset` or iterable of batches `(images, labels)` or
            `(images, labels, sample_weight)`. Weights are ignored.
        y: Labels, if `x` is arrays: class indices or names of shape `(n,)`, or one row per image, one-hot or soft. −1
            and 1 are the classes 0 and 1 of a model with a single unit and a hinge loss.
        steps: Number of batches to evaluate, as in `model.evaluate`. Required if `x` has no end. Defaults to all.
        class_names: Name of each class: in the order of the model's outputs, or a mapping from name to index or from
            index to name. Defaults to the names that `x` carries, as that of
            `keras.utils.image_dataset_from_directory` does, or to numbers.
        history: The return value of `model.fit`, to show the training run on the page; or its `history.history`, a data
            frame of it, or the path of a file of `keras.callbacks.CSVLogger`; or a list of these, one for each `fit`.
        range_test: The return value of `find_lr`, to show it on the page.
        display: The images to show, if the model's inputs can't be shown: a `uint8` array with one image for each
            input, or a function that computes them from a batch of inputs.
        preprocess: How the images were scaled, so that they can be shown: `"raw"`, `"0..1"`, `"-1..1"`, `"torch"`,
            `"caffe"` or `"standardized"`. By default it is inferred from their values.
        output: Name or index of the output to evaluate, if the model has several.
        baseline: An earlier report on the same images to compare with, or its run folder or report.json.
        checks: Settings of the checks, by the code of the finding: `False` turns one off, `"error"`, `"warning"` or
            `"note"` sets its severity, a number sets its threshold, and `{"severity": "error", "threshold": 0.2}` both.
        accept: The reason why a finding is accepted, by its code. The page shows it as accepted.
        name: Name of the data in the report.
        files: Name of the file of each image, in the order of the images. Defaults to the files that `x` carries, if
            their folders agree with the labels.
        metadata: What else is known of each image, such as site, device or age, to find groups of images on which the
            model fails more often: a CSV or Parquet file, a dictionary of columns, or a data frame. A column `file` (a
            name, or the end of a path) or `index` says which image a row belongs to, and a column `split` which set.
            Without them, there must be one row for each test image, in their order.
        groups: What must not be divided between training and test images, such as patient, scene or lot: the name of a
            column of the metadata, or a pair `(groups of the training images, groups of the test images)`.
        batch_size: Number of images that go through the model at once. `None` chooses it by what the model's layers
            return, so that the evaluation takes about as much memory as `model.predict`.
        seed: Random seed of the heatmap check.
        progress: A listener for progress. Defaults to `None`.
        train_data: The data that the model was trained on, to check it, to compare it with the test set, and to measure
            overfitting: `(x, y)` or `(x, y, sample_weight)`, or data that gives batches. Five times as many training
            images as test images are evaluated at most, but at least 20,000, or 2,000 large ones, and no more than
            50,000: a random sample of arrays, or the first images of other data.
        images: Whether the report has images. See `Report.save`.
        file_names: Whether it has names of files. See `Report.save`.
        engine: `"ray"` evaluates a `ray.data.Dataset` with the columns `image` and `label` on the workers of Ray,
            without `steps` and `train_data`. Defaults to this process.
        workers: Number of workers of the engine. Defaults to one for each CPU, or for each GPU if there are any.

    Returns:
        The report.

    Raises:
        DataError: If images, labels, names, pictures, history or metadata don't match.
        ModelError: If the model doesn't return one score per class, or has several outputs and `output` is missing.
        SettingsError: If an argument is outside its range.
        ComparisonError: If the baseline was evaluated on other images.
        RunFolderError: If the baseline can't be read.
    """
    require_keras_model(model)
    require_count("seed", seed, at_least=0)
    require_steps("steps", steps)
    if engine is not None or workers is not None:
        require_engine(engine, {"y": y, "steps": steps, "train_data": train_data})
        from lrdiag.engines.ray import diagnose_with_ray

        report = diagnose_with_ray(
            model,
            x,
            workers=workers,
            progress=progress or SILENCE,
            options={
                "class_names": class_names,
                "display": display,
                "preprocess": preprocess,
                "output": output,
                "files": files,
                "batch_size": batch_size,
                "seed": seed,
            },
            merging={
                "history": history,
                "range_test": range_test,
                "baseline": baseline,
                "checks": checks,
                "accept": accept,
                "name": name,
                "metadata": metadata,
                "groups": groups,
            },
        )
        return report.without(images=images, file_names=file_names)
    check_settings = CheckSettings.of(checks, accept)
    table, given_groups = read_given(metadata, groups)
    training = training_of(history, model, output)
    reporter = Reporter(
        data=(x, y),
        steps=steps,
        display=display,
        preprocess=preprocess,
        output=output,
        batch_size=batch_size,
        seed=seed,
        progress=progress or SILENCE,
        class_names=names_in_order(class_names),
        data_name=name,
        files=files,
        metadata=table,
        groups=given_groups,
        settings={"steps": steps, "preprocess": preprocess, "output": output, "seed": seed},
        range_test=range_test,
        baseline=None if baseline is None else run_of(baseline),
        check_settings=check_settings,
    )
    clock = Stopwatch()
    inspector = Inspector(model, output)
    inspector.look_at_model()
    given = None if train_data is None else GivenImages("the data of `train_data`", *unpacked(train_data)[:2])
    if given is not None:
        inspector.look_at_data(given, GivenImages("the test set", *unpacked((x, y))[:2]))
    with clock.lap("predict_and_explain"):
        evaluator = reporter.evaluator(model)
        evaluated = reporter.evaluate(evaluator)
        training_images = reporter.training_images(evaluator, evaluated, given, inspector.seen.training_data)
    inspector.look_at_layers(Sample(evaluator.first_images, None))
    report = reporter.report(
        model,
        evaluated,
        training=training,
        studied=reporter.studied(evaluator, evaluated, training_images),
        seconds=clock.seconds(),
        inspection=inspector.seen,
    )
    return reporter.compared(report).without(images=images, file_names=file_names)


def require_steps(name: str, steps: int | None) -> None:
    """Raises unless `steps` is `None` or an integer >= 1.

    Raises:
        SettingsError: With the limit.
    """
    if steps is not None:
        require_count(name, steps)


def require_engine(engine: str | None, unusable: Mapping[str, Any]) -> None:
    """Raises unless the engine exists, and nothing is given that it can't use.

    Args:
        engine: The name.
        unusable: The arguments that can't be used with an engine.

    Raises:
        SettingsError: If it doesn't, or an argument is not `None`.
    """
    require_choice("engine", engine, ENGINES)
    given = [f"`{name}`" for name, value in unusable.items() if value is not None]
    if given:
        raise SettingsError(
            f"With `engine`, the data is a dataset of the engine, all of which is evaluated. Leave out "
            f"{', '.join(given)}, or leave out `engine`. Received: engine={engine!r} and {', '.join(given)}"
        )


class Stopwatch:
    """Measures the stages of a run.

    Args:
        started: When the run began, in seconds of `time.perf_counter`. Defaults to now.
    """

    def __init__(self, started: float | None = None) -> None:
        self._started = time.perf_counter() if started is None else started
        self._laps: dict[str, float] = {}
        self._running: dict[str, float] = {}

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Measures a block. `name` is a field of `Seconds`."""
        self._running[name] = time.perf_counter()
        yield
        self.note(name, time.perf_counter() - self._running.pop(name))

    def note(self, name: str, seconds: float) -> None:
        """Records a stage that was measured elsewhere."""
        self._laps[name] = seconds

    def continue_from(self, earlier: Seconds) -> None:
        """Adds the time of another process, which did the first stages of the run."""
        self._started -= earlier.total
        self.note("range_test", earlier.range_test)

    def seconds(self) -> Seconds:
        """Returns the stages so far, and the time since the start."""
        return Seconds(**self._laps, total=time.perf_counter() - self._started)

    def seconds_until_now(self) -> Seconds:
        """Returns the stages so far, that which is running, and the time since the start."""
        now = time.perf_counter()
        running = {name: now - begun for name, begun in self._running.items()}
        return Seconds(**(self._laps | running), total=now - self._started)


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """Evaluates a model on one test set and builds its report. `diagnose`, the callback and the commands use it.

    Attributes:
        data: The test set: `(x,)`, `(x, y)` or `(x, y, sample_weight)`, as `GivenData` has them.
        steps: See `diagnose`.
        display: See `diagnose`.
        preprocess: See `diagnose`.
        output: See `diagnose`.
        batch_size: See `diagnose`.
        seed: Random seed of the heatmap check and of the training images that the page shows.
        progress: The listener.
        class_names: Name of each class, in order. `None` takes those that the data carries. Unused if `dataset` is
            given.
        data_name: Name of the data in the report. Unused if `dataset` is given.
        dataset: Facts of the data. `None` reads them from the images that were evaluated.
        files: See `diagnose`.
        metadata: What else is known of each image, or `None`.
        groups: The groups of the images, or `None`.
        model_name: Name of the model in the report. `None` uses the model's own name.
        command: The command line that repeats the run.
        settings: The settings that the page shows. Those that are `None` are left out.
        range_test: The range test, or `None`.
        range_test_note: Why there is no range test, or why it gave no rate.
        train: The training images, if they are available.
        baseline: An earlier run to compare with, or `None`.
        gates: Limits that the run must meet.
        check_settings: What differs from the table of rules.
        made_by: The part of lrdiag that makes the report. It decides which remedies the findings name.
        notes: Sentences about the data that a reader needs to interpret the figures.
    """

    data: tuple[Any, ...]
    steps: int | None = None
    display: Display | None = None
    preprocess: Preprocessing | None = None
    output: str | int | None = None
    batch_size: int | None = None
    seed: int = 0
    progress: Progress = SILENCE
    class_names: Sequence[str] | None = None
    data_name: str = ""
    dataset: DatasetFacts | None = None
    files: Sequence[str] = ()
    metadata: MetadataTable | None = None
    groups: GivenGroups | None = None
    model_name: str | None = None
    command: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    range_test: RangeTest | RangeTestFacts | None = None
    range_test_note: str | None = None
    train: LabelledImages = NO_IMAGES
    baseline: Run | None = None
    gates: tuple[Gate, ...] = ()
    check_settings: CheckSettings = AS_IN_THE_TABLE
    made_by: MadeBy = "diagnose"
    notes: tuple[str, ...] = ()

    def evaluator(self, model: keras.Model) -> Evaluator:
        """Returns the evaluator of a model. It can be used again while the model is trained."""
        return Evaluator(model, output=self.output, batch_size=self.batch_size)

    def rehearse(self, evaluator: Evaluator) -> None:
        """Evaluates the first batch, and checks what is known of the rest, so that errors appear before training.

        Raises:
            LrdiagError: If the data, the names, the model or the baseline can't be used.
        """
        classes = evaluator.rehearse(self._given, display=self.display, preprocess=self.preprocess)
        names, _ = self._names(classes)
        if self.baseline is not None:
            base = self.baseline.diagnosis.dataset
            refuse_other_images(base, dataclasses.replace(base, classes=names))  # the images are not known yet
        self._rehearse_metadata()

    def _rehearse_metadata(self) -> None:
        """Joins the metadata with the test images if their number is known."""
        x = self.data[0]
        if self.dataset is not None:
            images = WholeSet(self.dataset.test_size, self.files)
        elif self.steps is None and hasattr(x, "shape"):
            images = WholeSet(len(x), self.files)
        else:
            return
        metadata = None if self.metadata is None else joined(self.metadata, images, None)
        if self.groups is not None:
            self.groups.of_images(metadata, images, None)

    def repeats(self) -> bool:
        """Returns whether two passes over the data start with the same batch."""
        return starts_alike(self._given)

    def evaluate(
        self, evaluator: Evaluator, *, keep_every_map: bool = False, fingerprint: str | None = None
    ) -> Evaluated:
        """Predicts every image and explains the misclassified ones.

        Args:
            evaluator: The evaluator of the model.
            keep_every_map: Whether to keep the map of every image.
            fingerprint: Is not computed if it is given. Defaults to that of `dataset`.
        """
        return evaluator.evaluate(
            self._given,
            display=self.display,
            preprocess=self.preprocess,
            seed=self.seed,
            progress=self.progress,
            fingerprint=fingerprint if self.dataset is None else self.dataset.test_fingerprint,
            keep_every_map=keep_every_map,
        )

    def training_images(
        self, evaluator: Evaluator, evaluated: Evaluated, given: GivenImages | None, known: ImageSet | None
    ) -> EvaluatedTrainingImages:
        """Predicts training images with the trained model, see `evaluate_training_images`."""
        return evaluate_training_images(
            evaluator,
            given,
            known,
            evaluated,
            output=self.output,
            preprocess=self.preprocess,
            class_names=self._known_names,
            progress=self.progress,
        )

    def studied(self, evaluator: Evaluator, evaluated: Evaluated, training: EvaluatedTrainingImages) -> Studied:
        """Studies images and labels."""
        return studied(
            evaluator,
            evaluated,
            training,
            classes=self._names(evaluated.predictions.classes)[0],
            files=self._files(evaluated.predictions.labels)[0],
            metadata=self.metadata,
            groups=self.groups,
            progress=self.progress,
        )

    def report(
        self,
        model: keras.Model,
        evaluated: Evaluated,
        *,
        training: TrainingRun | None,
        studied: Studied,
        seconds: Seconds,
        watched: Watched | None = None,
        notes: tuple[str, ...] = (),
        inspection: Inspection = NOTHING,
        known: Mapping[str, Known] | None = None,
    ) -> Report:
        """Builds the report, without the comparison with the baseline.

        Raises:
            DataError: If there isn't one name for each class, or one file for each image, or the folders of the files
                contradict the labels.
        """
        names, about_names = self._names(evaluated.predictions.classes)
        files, about_files = self._files(evaluated.predictions.labels)
        notes = (*self.notes, *about_names, *about_files, *evaluated.notes, *notes)
        return build_report(
            evaluated,
            self.dataset or facts_of(evaluated, names, self.data_name),
            run=self._run_facts(model, evaluated, notes),
            training=training,
            range_test=self.range_test,
            range_test_note=self.range_test_note,
            train=self.train,
            files=files,
            watched=watched,
            seed=self.seed,
            seconds=seconds,
            studied=studied,
            made_by=self.made_by,
            inspection=inspection,
            check_settings=self.check_settings,
            known=known,
        )

    def compared(self, report: Report) -> Report:
        """Returns the report with its comparison with the baseline, if there is one, and the outcome of its gates.

        Raises:
            ComparisonError: If the baseline was evaluated on other images.
        """
        report = report if self.baseline is None else report.compared_with(self.baseline)
        diagnosis = with_outcomes(report.diagnosis, check(self.gates, report.diagnosis))
        return dataclasses.replace(report, run=dataclasses.replace(report.run, diagnosis=diagnosis))

    @property
    def _given(self) -> GivenData:
        return GivenData(*unpacked(self.data), self.steps, self._known_names, self.output)

    @property
    def _known_names(self) -> Sequence[str] | None:
        """The names of the classes that the user gave, else those that the data carries."""
        return names_carried_by(self.data[0]) if self.class_names is None else self.class_names

    def _names(self, classes: int) -> tuple[list[str], tuple[str, ...]]:
        """The name of each class that the model scores, and notes about the names."""
        if self.dataset is not None:
            return self.dataset.classes, ()
        return chosen_names(self.class_names, names_carried_by(self.data[0]), classes)

    def _files(self, labels: np.ndarray) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The file of each image, or none, and notes about the files."""
        if self.dataset is not None:  # lrdiag has read the files itself
            return given_files(self.files, labels, None)
        if len(self.files):
            return given_files(self.files, labels, self._known_names)
        return carried_files(self.data[0], labels, self._known_names)

    @property
    def _of_images(self) -> dict[str, str | None]:
        """What is known of the images, as settings that the page shows."""
        given = {"metadata": self.metadata, "groups": self.groups}
        return {name: None if each is None else str(each) for name, each in given.items()}

    def _run_facts(self, model: keras.Model, evaluated: Evaluated, notes: tuple[str, ...]) -> RunFacts:
        return RunFacts(
            model=self.model_name or model.name,
            parameters=model.count_params(),
            device=device(),
            backend=engine_name(),
            command=self.command,
            git_commit=provenance.git_commit(),
            created=provenance.now(),
            settings={key: value for key, value in {**self.settings, **self._of_images}.items() if value is not None},
            versions=provenance.versions(engine_name()),
            value_range=evaluated.value_range,
            notes=list(notes),
        )
