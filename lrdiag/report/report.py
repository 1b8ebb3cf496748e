"""The report of a model: facts, pictures, and the run folder that contains them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrdiag.diagnosis.assemble import assemble, class_counts
from lrdiag.diagnosis.binary import operating_point
from lrdiag.diagnosis.check_settings import AS_IN_THE_TABLE, CheckSettings
from lrdiag.diagnosis.evidence import Evidence, ModelLoss
from lrdiag.diagnosis.findings.checking import check_all
from lrdiag.diagnosis.study import Studied
from lrdiag.errors import LrdiagError
from lrdiag.formats import encodable
from lrdiag.record import documents, exchange, locks, reading
from lrdiag.record import folder as run_folder
from lrdiag.record.arrays import Heatmaps, LabelledImages, Predictions
from lrdiag.record.binary_facts import OperatingPoint
from lrdiag.record.facts import (
    DatasetFacts,
    Diagnosis,
    Finding,
    Known,
    MadeBy,
    RangeTestFacts,
    Run,
    RunFacts,
    Seconds,
    TrainingRun,
)
from lrdiag.record.frames import data_frame
from lrdiag.record.observed import Inspection
from lrdiag.record.wrong_images import WrongImages
from lrdiag.report.baseline import set_beside
from lrdiag.report.notebook import ShownPage, render_card
from lrdiag.report.page import render_page
from lrdiag.report.pictures.exhibits import ExhibitPictures
from lrdiag.report.pictures.layout import lay_out, lay_out_watched
from lrdiag.report.privacy import reduced
from lrdiag.report.suspects import suspects_table
from lrdiag.report.tables import write_tables
from lrdiag.report.write import page_files

if TYPE_CHECKING:
    import pandas as pd

    from lrdiag.evaluation.evaluated import Evaluated
    from lrdiag.evaluation.evolution import Watched
    from lrdiag.rate.range_test import RangeTest
    from lrdiag.vocabulary import AssetsName


@dataclass(frozen=True)
class Report:
    """What a model gets right and wrong, and where it looks. It can be saved, compared, and shown in a notebook.

    Example:
        >>> import keras, lrdiag
        >>> images, labels = np.zeros((6, 8, 8, 3), "uint8"), np.array([0, 1, 0, 1, 0, 1])
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> report = lrdiag.diagnose(model, images, labels, class_names=["cat", "dog"])
        >>> report.accuracy, report.confusion.tolist()
        (0.5, [[3, 0], [3, 0]])

    Attributes:
        run: The facts and the pictures.
        predictions: Predictions of every image.
        heatmaps: Heatmaps of the misclassified images. `None` if the model has no feature maps.
        mistakes: The misclassified images, or those of them that were kept, a `uint8` array of shape
            `(m, height, width, channels)`, in the order of the test set, at the size at which the page shows them.
            Empty if images were left out.
        files: Name of the file of each image, or empty.
        check_settings: Settings of the checks that were made.
        mistake_indices: `int64` of shape `(m,)`, ascending: the test image of each row of `mistakes`.
    """

    run: Run
    predictions: Predictions
    heatmaps: Heatmaps | None
    mistakes: np.ndarray
    files: tuple[str, ...] = ()
    check_settings: CheckSettings = AS_IN_THE_TABLE
    mistake_indices: np.ndarray = field(kw_only=True)

    @property
    def diagnosis(self) -> Diagnosis:
        """All facts, as report.json contains them."""
        return self.run.diagnosis

    @property
    def pictures(self) -> dict[str, bytes]:
        """The pictures, by file name."""
        return self.run.pictures.files

    @property
    def accuracy(self) -> float:
        """Share of the images that are classified correctly."""
        return self.diagnosis.test.accuracy

    @property
    def confusion(self) -> np.ndarray:
        """Counts, an `int64` array of shape `(classes, classes)`. Rows are true classes, columns predicted ones."""
        return np.asarray(self.diagnosis.confusion)

    @property
    def findings(self) -> list[Finding]:
        """Findings, most severe first."""
        return self.diagnosis.findings

    def save(
        self,
        folder: str | Path,
        *,
        assets: AssetsName = "inline",
        templates: str | Path | None = None,
        own: Sequence[str] = (),
        images: bool = True,
        file_names: bool = True,
    ) -> Path:
        """Writes the run folder: the page, report.json, the summary, tables, pictures and raw heatmaps.

        The folder contains the files of this report alone then, and those of the user. If another process writes its
        report to the folder, this one waits for it.

        Args:
            folder: The run folder. It is created if it doesn't exist.
            assets: `"inline"` writes one file. `"folder"` writes pictures and style to `assets/` beside the page.
            templates: A folder of templates that replace the built-in ones of the same name, or `None`.
            own: Names of further files in the folder that belong to this run, such as `"model.keras"`. Other files
                that an earlier run left in the folder are removed.
            images: Whether images are written. If not, the heatmaps are, on a plain ground.
            file_names: Whether names and paths of image files are written. Without them, data that lrdiag read from a
                path has no name. Names of classes stay, also those of folders.

        Returns:
            The path of the page.

        Raises:
            LrdiagError: If the folder can't be written, or a template can't be rendered. In the latter case everything
                but the page is written.
        """
        self.saved(folder, assets=assets, templates=templates, own=own, images=images, file_names=file_names)
        return Path(folder) / run_folder.PAGE

    def saved(
        self,
        folder: str | Path,
        *,
        assets: AssetsName = "inline",
        templates: str | Path | None = None,
        own: Sequence[str] = (),
        images: bool = True,
        file_names: bool = True,
        seconds: Callable[[], Seconds] | None = None,
    ) -> Report:
        """Does what `save` does, and returns the report as report.json has it.

        Args:
            folder: See `save`.
            assets: See `save`.
            templates: See `save`.
            own: See `save`.
            images: See `save`.
            file_names: See `save`.
            seconds: Returns the final times, which the page itself can't contain.
        """
        folder, report = Path(folder), self.without(images=images, file_names=file_names)
        page, problem = report._page(folder, assets, templates)
        run_folder.create(folder)
        with locks.job(folder, wait=locks.PATIENCE):
            run = exchange.save(folder, report.run, page=page, tables=report._write_tables, own=own, seconds=seconds)
        if problem is not None:  # the page can be written again, the rest can't
            raise problem
        return dataclasses.replace(report, run=run)

    def without(self, *, images: bool = True, file_names: bool = True) -> Report:
        """Returns this report without images or without file names, as `save` writes it.

        Args:
            images: See `save`.
            file_names: See `save`.
        """
        run = reduced(self.run, images=images, file_names=file_names)
        files = () if "file names" in run.diagnosis.left_out else self.files
        mistakes = self.mistakes[:0] if "images" in run.diagnosis.left_out else self.mistakes
        return dataclasses.replace(self, run=run, files=files, mistakes=mistakes)

    def _page(
        self, folder: Path, assets: AssetsName, templates: str | Path | None
    ) -> tuple[dict[str, str | bytes], LrdiagError | None]:
        """The files of the page, or none and the error."""
        try:
            given = None if templates is None else Path(templates)
            return page_files(folder, self.run, assets=assets, templates=given), None
        except LrdiagError as error:
            return {}, error

    def _write_tables(self, folder: Path) -> None:
        write_tables(folder, self.diagnosis, self.predictions, self.heatmaps, self.files)

    def compared_with(self, baseline: str | Path | Report | Run) -> Report:
        """Returns this report with its comparison, image by image, with an earlier one.

        Args:
            baseline: An earlier report or its run, its run folder, or its report.json.

        Raises:
            ComparisonError: If the test images or the classes differ.
            RunFolderError: If the baseline can't be read.
        """
        return dataclasses.replace(self, run=set_beside(run_of(baseline), self.run, self.check_settings))

    def suspects(self) -> Any:
        """Returns the images whose labels are probably wrong, most probable first in each set.

        Example:
            ```python
            table = report.suspects()
            table[(table["set"] == "train") & (table["score"] > 0.9)].to_csv("look-at-these.csv")
            ```

        Returns:
            A `pandas.DataFrame` with the columns `set` (`"test"` or `"train"`), `index`, `file`, `given`, `suggested`,
            `score` (the estimated probability that the label is wrong) and `reason`. `given` and `suggested` are names
            of classes; `suggested` is `None` if the image seems to belong to no class. Without pandas, a list of
            dictionaries with these keys.

        Raises:
            RunFolderError: If the labels were not examined, with the reason.
        """
        return suspects_table(self.diagnosis)

    def mistakes_frame(self) -> pd.DataFrame:
        """Returns the misclassified images as a data frame, highest loss first.

        Example:
            ```python
            mistakes = report.mistakes_frame()
            mistakes[mistakes["confidence"] > 0.9].groupby(["true", "predicted"]).size()
            ```

        Returns:
            A `pandas.DataFrame` with the columns `index`, `true`, `predicted` (names of classes), `confidence`, `loss`
            and `file`. What is unknown is missing.

        Raises:
            LrdiagError: If pandas is not installed.
        """
        names, wrong = np.array(self.diagnosis.dataset.classes, object), WrongImages.of(self.predictions)
        return data_frame(
            {
                "index": wrong.index,
                "true": names[wrong.true],
                "predicted": names[wrong.predicted],
                "confidence": self.predictions.confidence[wrong.index],
                "loss": self.predictions.losses[wrong.index],
                "file": [encodable(self.files[each]) if self.files else None for each in wrong.index],
            }
        )

    def operating_point(
        self,
        *,
        cost: float | None = None,
        specificity: float | None = None,
        sensitivity: float | None = None,
        positive: str | None = None,
    ) -> OperatingPoint:
        """Returns the threshold that two classes need for a cost, a specificity or a sensitivity, and what it gives.

        It is chosen on the test images, so it is a little worse on others.

        Example:
            ```python
            point = report.operating_point(cost=20, positive="ill")
            print(point.threshold, point.sensitivity, point.specificity)
            ```

        Args:
            cost: How many times as much a missed positive image costs as a false alarm. The total cost is the lowest.
            specificity: Least share of the negative images that are called negative.
            sensitivity: Least share of the positive images that are called positive.
            positive: Name of the class that is called positive. Defaults to the second one.

        Raises:
            SettingsError: If not exactly one of the three is given, or one is outside its range.
            DataError: If there are not two classes with images and scores.
        """
        wanted = {"cost": cost, "specificity": specificity, "sensitivity": sensitivity}
        return operating_point(self.predictions, tuple(self.diagnosis.dataset.classes), wanted, positive)

    def to_dict(self) -> dict[str, Any]:
        """Returns all facts as dictionaries, lists, numbers and strings: report.json without the list of files."""
        facts: dict[str, Any] = json.loads(documents.to_json(self.diagnosis))
        del facts["files"]
        return facts

    def show(self) -> ShownPage:
        """Returns the whole page for a notebook. As the last expression of a cell it is displayed.

        A notebook stores what it displays, and the page of a run with many misclassified images is large. The report
        itself is displayed as a summary.
        """
        return ShownPage(render_page(self.run))

    def _repr_html_(self) -> str:
        """Returns a summary: verdict, figures, open findings and the images to look at first."""
        return render_card(self.run)

    def __repr__(self) -> str:
        test = self.diagnosis.test
        wrong = self.diagnosis.misclassified.count
        return f"Report(accuracy={test.accuracy:.4f}, images={test.size}, misclassified={wrong})"


def run_of(report: str | Path | Report | Run) -> Run:
    """Returns the run of a report, or reads it from a run folder or a report.json.

    Raises:
        RunFolderError: If it can't be read.
    """
    if isinstance(report, Run):
        return report
    return report.run if isinstance(report, Report) else reading.load_baseline(Path(report))


def build_report(
    evaluated: Evaluated,
    dataset: DatasetFacts,
    *,
    run: RunFacts,
    training: TrainingRun | None,
    range_test: RangeTest | RangeTestFacts | None,
    range_test_note: str | None,
    train: LabelledImages,
    files: tuple[str, ...],
    watched: Watched | None,
    seed: int,
    seconds: Seconds,
    studied: Studied,
    made_by: MadeBy,
    inspection: Inspection,
    check_settings: CheckSettings,
    known: Mapping[str, Known] | None,
) -> Report:
    """Lays out the pictures, computes the facts of a report and applies the rules.

    Args:
        evaluated: Result of evaluating the model on the test set.
        dataset: The data that the model was trained and evaluated on.
        run: Model, settings and environment.
        training: The record of the training run, or `None`.
        range_test: The range test, or `None`.
        range_test_note: Why there is no range test, or why it gave no rate.
        train: The training images, of which the page shows a few.
        files: The file of each test image, or empty.
        watched: Some test images that were watched during training, or `None`.
        seed: Random seed for the choice of training images to show.
        seconds: Wall time of each stage.
        studied: What is known of images and labels.
        made_by: The part of lrdiag that makes the report. It decides which remedies the findings name.
        inspection: What was observed of the model, its training data and its training run.
        check_settings: What differs from the table of rules.
        known: When problems were found by earlier checks of the same run.
    """
    predictions, heatmaps = evaluated.predictions, evaluated.heatmaps
    pictures = lay_out(evaluated.mistakes, evaluated.mistake_indices, predictions, heatmaps, train, seed)
    if watched is not None:
        pictures |= lay_out_watched(watched.images, watched.maps)
    facts = assemble(
        dataset,
        predictions,
        files=files,
        range_test=range_test if isinstance(range_test, RangeTestFacts | None) else range_test.facts(),
        range_test_note=range_test_note,
        training=training,
        heatmaps=evaluated.heatmap_facts,
        run=run,
        evolution=None if watched is None else watched.facts,
        train_sample=studied.train_sample,
        made_by=made_by,
    )
    looked_at = inspection.training_data
    facts = dataclasses.replace(
        facts, seconds=seconds, checked_data="" if looked_at is None else str(looked_at), data=studied.facts
    )
    loss, agreement = _loss_of(evaluated), evaluated.agreement
    evidence = Evidence(
        facts,
        predictions,
        heatmaps,
        evaluated.mistakes,
        loss,
        agreement,
        inspection,
        test_images=studied.test_images,
        training_images=studied.training_images,
        changed=studied.changed,
    )
    exhibits = ExhibitPictures()
    diagnosis = check_all(evidence, settings=check_settings, known=known, keep=exhibits.keep)
    pictures |= exhibits.lay_out()
    listed = len(diagnosis.misclassified.items) == diagnosis.misclassified.count
    return Report(
        Run(diagnosis, pictures, None if listed else WrongImages.of(predictions)),
        predictions,
        heatmaps,
        evaluated.mistakes,
        files,
        check_settings,
        mistake_indices=evaluated.mistake_indices,
    )


def _loss_of(evaluated: Evaluated) -> ModelLoss | None:
    if evaluated.loss_takes_logits is None:
        return None
    recovers = evaluated.agreement.loss_recovers if evaluated.agreement else False
    return ModelLoss(evaluated.loss_takes_logits, evaluated.returns_probabilities, recovers)


def facts_of(evaluated: Evaluated, names: Sequence[str], name: str) -> DatasetFacts:
    """Returns the facts of a dataset of which only the evaluated images are known."""
    labels = evaluated.predictions.labels
    return DatasetFacts(
        name=name,
        source="",
        fallback=None,
        classes=list(names),
        image_shape=list(evaluated.image_shape),
        train_size=0,
        validation_size=0,
        test_size=len(labels),
        train_counts=[0] * len(names),
        test_counts=class_counts(labels, len(names)),
        test_fingerprint=evaluated.fingerprint,
    )
