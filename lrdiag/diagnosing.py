"""A model of one's own, judged: `diagnose`, and the report that it returns."""

from __future__ import annotations

import dataclasses
import html
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrdiag import environment, run_folder
from lrdiag.diagnosis.assemble import assemble, class_counts
from lrdiag.diagnosis.findings import loss_mismatch
from lrdiag.errors import DataError
from lrdiag.progress import Progress
from lrdiag.records import (
    NO_IMAGES,
    DatasetFacts,
    Diagnosis,
    Evolution,
    Finding,
    Heatmaps,
    LabelledImages,
    Predictions,
    RangeTestFacts,
    Run,
    RunFacts,
    Seconds,
    TrainingRun,
)
from lrdiag.report.baseline import set_beside
from lrdiag.report.page import render_page
from lrdiag.report.pictures import lay_out
from lrdiag.report.tables import write_tables
from lrdiag.report.write import write_page

if TYPE_CHECKING:
    import keras

    from lrdiag.examination import Display, Examined
    from lrdiag.rate.result import RangeTest
    from lrdiag.settings import AssetsName, Preprocessing


@dataclass(frozen=True)
class Report:
    """What a model gets right and wrong, and where it looks: to be saved, asked, compared, or shown in a notebook.

    Example:
        >>> import keras, lrdiag
        >>> images, labels = np.zeros((6, 8, 8, 3), "uint8"), np.array([0, 1, 0, 1, 0, 1])
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> report = lrdiag.diagnose(model, images, labels, class_names=["cat", "dog"])
        >>> report.accuracy, report.confusion.tolist()
        (0.5, [[3, 0], [3, 0]])

    Attributes:
        run: The facts, and the pictures that they name.
        predictions: Of every image.
        heatmaps: Of the misclassified images, or `None`.
        mistakes: The misclassified images, a `uint8` array of shape `(m, height, width, channels)`, in the order of
            the test set, no larger than the page shows them.
        files: The file of each image, or empty.
    """

    run: Run
    predictions: Predictions
    heatmaps: Heatmaps | None
    mistakes: np.ndarray
    files: tuple[str, ...] = ()

    @property
    def diagnosis(self) -> Diagnosis:
        """Every fact: what report.json says."""
        return self.run.diagnosis

    @property
    def accuracy(self) -> float:
        """The share of the images that is recognised."""
        return self.diagnosis.test.accuracy

    @property
    def confusion(self) -> np.ndarray:
        """`int64` array of shape `(classes, classes)`: counts, rows are true classes, columns predicted ones."""
        return np.asarray(self.diagnosis.confusion)

    @property
    def findings(self) -> list[Finding]:
        """What a reader should know before anything else, the gravest first."""
        return self.diagnosis.findings

    def save(self, folder: str | Path, *, assets: AssetsName = "inline", templates: str | Path | None = None) -> Path:
        """Writes the run folder: report.html, report.json, summary.md, summary.png, tables and raw heatmaps.

        Args:
            folder: Where; it is made if there is none.
            assets: `"inline"`: the page is one file. `"folder"`: its pictures and its style lie in `assets/` beside it.
            templates: A folder whose templates take the place of those of the same name, or `None`.

        Returns:
            The path of the page.

        Raises:
            LrdiagError: If the folder cannot be written or a template cannot be rendered.
        """
        folder = Path(folder)
        run_folder.create(folder)
        write_tables(folder, self.diagnosis, self.predictions, self.heatmaps, self.files)
        run_folder.save(folder, self.run)  # a template that fails must not cost the rest
        write_page(folder, self.run, assets=assets, templates=None if templates is None else Path(templates))
        return folder / "report.html"

    def compared_with(self, baseline: str | Path | Report | Run) -> Report:
        """This report with its comparison, image by image, with an earlier one.

        Args:
            baseline: An earlier report or its run, its run folder, or its report.json.

        Raises:
            ComparisonError: If the test images or the classes differ.
            RunFolderError: If the baseline cannot be read.
        """
        return dataclasses.replace(self, run=set_beside(run_of(baseline), self.run))

    def to_dict(self) -> dict[str, Any]:
        """Every fact as plain dictionaries, lists, numbers and strings: the content of report.json."""
        facts: dict[str, Any] = json.loads(run_folder.to_json(self.diagnosis))
        return facts

    def _repr_html_(self) -> str:
        """The page, in a frame of its own, so that its style and the notebook's do not meet."""
        page = html.escape(render_page(self.run), quote=True)
        return f'<iframe srcdoc="{page}" title="lrdiag report" width="100%" height="800" style="border:0"></iframe>'

    def __repr__(self) -> str:
        test = self.diagnosis.test
        wrong = self.diagnosis.misclassified.count
        return f"Report(accuracy={test.accuracy:.4f}, images={test.size}, misclassified={wrong})"


def run_of(report: str | Path | Report | Run) -> Run:
    """The run of a report, or that of its run folder or report.json.

    Raises:
        RunFolderError: If it cannot be read.
    """
    if isinstance(report, Run):
        return report
    return report.run if isinstance(report, Report) else run_folder.load_baseline(Path(report))


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
    batch_size: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Judges a model on a test set: what it gets right and wrong, and where it looks when it is wrong.

    One pass over the data, predictions and heatmaps together; of the images, only the misclassified are kept. The model
    is not changed. It may return probabilities, logits, or one number for two classes.

    Example:
        >>> import keras, lrdiag
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
        model: A Keras model of images that returns one score per class.
        x: Images as the model takes them, an array of shape `(n, height, width, channels)`, `uint8` or float, or a nest
            of arrays; or a `tf.data.Dataset`, `keras.utils.PyDataset` or iterable of batches `(images, labels)`.
        y: Labels, where `x` is arrays: class indices `(n,)`, or one row per image.
        class_names: The name of each class; their numbers by default.
        history: What `model.fit` returned, so that the page shows how training went.
        range_test: What `find_lr` returned, so that the page shows how the rate was chosen.
        display: The pictures to show where the model takes something else: a `uint8` array, one for each image, or a
            function from a batch of inputs to them.
        preprocess: What was done to the pictures before they reached the model, to be undone where they are shown:
            `"raw"`, `"0..1"`, `"-1..1"`, `"torch"`, `"caffe"` or `"standardized"`. By default it is read off their
            values.
        output: Which output, where the model has several: its name or its place.
        baseline: An earlier report on the same images, its run folder or its report.json, to compare with.
        name: What the data is called in the report.
        files: The file that each image was read from, where they have one.
        batch_size: Images in one pass, where `x` is arrays.
        seed: Of the sample of mistakes whose heatmaps are tested.
        progress: Who listens; nobody by default.

    Returns:
        The report.

    Raises:
        DataError: If images, labels, names, pictures or history do not belong together.
        ModelError: If the model does not return one score per class, or has several outputs and none is named.
        SettingsError: If an argument is outside its range.
        ComparisonError: If the baseline was judged on other images.
        RunFolderError: If the baseline cannot be read.
    """
    from lrdiag.examination import Examiner
    from lrdiag.history import training_of

    training = training_of(history, model)
    base = None if baseline is None else run_of(baseline)
    started = time.perf_counter()
    examiner = Examiner(model, output=output, batch_size=batch_size)
    examined = examiner.examine(x, y, display=display, preprocess=preprocess, seed=seed, progress=progress)
    seconds = Seconds(predict_and_explain=time.perf_counter() - started)
    names = class_names_of(class_names, examined.predictions.log_probabilities.shape[1])
    report = write_up(
        examined,
        facts_of(examined, names, name),
        run=run_facts(model, examined, {"preprocess": preprocess, "output": output, "seed": seed}),
        training=training,
        range_test=range_test,
        files=_files(files, examined),
        seed=seed,
        seconds=seconds,
    )
    return report.compared_with(base) if base else report


def write_up(
    examined: Examined,
    dataset: DatasetFacts,
    *,
    run: RunFacts,
    training: TrainingRun | None,
    range_test: RangeTest | RangeTestFacts | None = None,
    range_test_note: str | None = None,
    train: LabelledImages = NO_IMAGES,
    files: tuple[str, ...] = (),
    evolution: Evolution | None = None,
    pictures: dict[str, bytes] | None = None,
    seed: int = 0,
    seconds: Seconds | None = None,
) -> Report:
    """Lays out the pictures and computes the facts of a report.

    Args:
        examined: What came out of the test.
        dataset: What the model was trained and judged on.
        run: What was run, on what.
        training: How training went, or `None`.
        range_test: The range test, or `None`.
        range_test_note: Why there is none, or why it gave no rate.
        train: The training images, of which the page shows a few.
        files: The file of each test image, or empty.
        evolution: How some images came to be seen as they are.
        pictures: The pictures that it names.
        seed: Which training images are shown.
        seconds: What took how long.
    """
    predictions, heatmaps = examined.predictions, examined.heatmaps
    sheets, laid_out = lay_out(examined.mistakes, predictions, heatmaps, train, seed)
    diagnosis = assemble(
        dataset,
        predictions,
        files=files,
        range_test=range_test if isinstance(range_test, RangeTestFacts | None) else range_test.facts(),
        range_test_note=range_test_note,
        training=training,
        heatmaps=examined.facts,
        sheets=sheets,
        run=run,
        evolution=evolution,
        findings=loss_mismatch(examined.loss_takes_logits, examined.returns_probabilities),
    )
    diagnosis = dataclasses.replace(diagnosis, seconds=seconds or Seconds())
    return Report(Run(diagnosis, laid_out | (pictures or {})), predictions, heatmaps, examined.mistakes, files)


def facts_of(examined: Examined, names: Sequence[str], name: str) -> DatasetFacts:
    """What the page says of data that only passed by."""
    labels = examined.predictions.labels
    return DatasetFacts(
        name=name,
        source="",
        fallback=None,
        classes=list(names),
        image_shape=list(examined.image_shape),
        train_size=0,
        validation_size=0,
        test_size=len(labels),
        train_counts=[0] * len(names),
        test_counts=class_counts(labels, len(names)),
        test_fingerprint=examined.fingerprint,
    )


def run_facts(
    model: keras.Model, examined: Examined, settings: dict[str, Any], *, name: str | None = None, command: str = ""
) -> RunFacts:
    """What was run, on what; settings that are `None` are left out."""
    return RunFacts(
        model=name or model.name,
        parameters=model.count_params(),
        device=environment.device(),
        command=command,
        git_commit=environment.git_commit(),
        settings={key: value for key, value in settings.items() if value is not None},
        versions=environment.versions(),
        value_range=examined.value_range,
    )


def class_names_of(names: Sequence[str] | None, classes: int) -> list[str]:
    """The names of so many classes as they were given, or the numbers of the classes.

    Raises:
        DataError: If there is not one name for each class.
    """
    if names is None:
        return [str(index) for index in range(classes)]
    if isinstance(names, str) or len(names) != classes:
        raise DataError(
            f"`class_names` must name each class that the model scores, {classes} of them, in its order. "
            f"Received: {len(names)} names" + (", in one string" if isinstance(names, str) else "")
        )
    return [str(each) for each in names]


def _files(files: Sequence[str], examined: Examined) -> tuple[str, ...]:
    size = len(examined.predictions.labels)
    if len(files) not in (0, size):
        raise DataError(f"`files` must name one file for each image. Received: {len(files)} names for {size} images")
    return tuple(str(file) for file in files)
