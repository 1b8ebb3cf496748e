"""The evidence that the rules use.

It grows: before training, only what an inspection observed is known; the evaluation comes last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from lrdiag.record.agreement import Agreement
from lrdiag.record.arrays import Heatmaps, Predictions
from lrdiag.record.data_facts import (
    NOT_STUDIED,
    Copies,
    Correction,
    DataFacts,
    SharedGroups,
    Shortcut,
    Slice,
    Suspect,
    Temperature,
)
from lrdiag.record.experiments import Changed
from lrdiag.record.facts import Comparison, Diagnosis, MadeBy, RangeTestFacts, TimeSpent, TrainingRun, TrainingSample
from lrdiag.record.image_table import ImageTable, Part
from lrdiag.record.observed import (
    NOTHING,
    Compiled,
    EpochState,
    ImageSet,
    Inspection,
    Layer,
    Rates,
    Scores,
    Start,
    Trial,
    Turned,
)
from lrdiag.record.wrong_images import WrongImages

Need = Literal[
    "evaluation",
    "compiled",
    "layers",
    "scores",
    "start",
    "rates",
    "trial",
    "training_data",
    "validation_data",
    "shared",
    "epochs",
    "turned",
    "training",
    "time",
    "range_test",
    "train_sample",
    "comparison",
    "loss",
    "agreement",
    "predictions",
    "heatmaps",
    "mistakes",
    "test_images",
    "training_images",
    "suspects",
    "copies",
    "shared_groups",
    "corrections",
    "shortcuts",
    "slices",
    "temperature",
]
OF_IMAGES: tuple[Need, ...] = (
    "test_images",
    "training_images",
    "suspects",
    "copies",
    "corrections",
    "shortcuts",
    "slices",
    "temperature",
)
"""What a study of images and labels gives."""
MISSING: dict[Need, str] = {
    "evaluation": "the model was not evaluated yet",
    "compiled": "the model is not compiled with a loss and an optimizer",
    "layers": "the layers were not observed",
    "scores": "the layers were not observed",
    "start": "the model was not observed before its first update",
    "rates": "the model was not observed before its first update",
    "trial": "the model was not observed before its first update",
    "training_data": "the training data was not available",
    "validation_data": "the validation data was not looked at",
    "shared": "training and validation images are not both arrays",
    "epochs": "the epochs were not observed",
    "turned": "no layer of the model augments images",
    "training": "training was not recorded",
    "time": "where the time went was not recorded",
    "range_test": "no range test was run",
    "train_sample": "the training images were not evaluated",
    "comparison": "the run was not compared with a baseline",
    "loss": "the model was not compiled with a cross-entropy",
    "agreement": "the model was not compared with its own methods",
    "predictions": "the predictions are not available",
    "heatmaps": "the heatmaps are not available",
    "mistakes": "the misclassified images are not available",
    "test_images": "the test images were not kept",
    "training_images": "the training images were not evaluated",
    "suspects": "the labels were not examined",
    "copies": "the images were not compared with each other",
    "shared_groups": "the groups of test and training images are not known",
    "corrections": "no changes of the test images were tried",
    "shortcuts": "no shortcuts were searched for",
    "slices": "the test images were not divided into groups",
    "temperature": "the confidence was not scaled",
}
"""Why a rule is not checked if a piece of evidence is missing."""


class ModelLoss(NamedTuple):
    """What the model returns and what its loss expects.

    Attributes:
        takes_logits: Whether the loss expects logits.
        returns_probabilities: Whether the model returns probabilities.
        recovers: Whether Keras computes the right loss although the two contradict each other; `None` if the images do
            not tell.
    """

    takes_logits: bool
    returns_probabilities: bool
    recovers: bool | None = False


@dataclass(frozen=True)
class Evidence:
    """Everything that is known about a run when the rules are checked.

    Attributes:
        evaluation: The facts of the run, once the model was evaluated. Their findings and checks are those of earlier
            rules.
        predictions: Predictions for every test image, or `None`.
        heatmaps: Heatmaps of the misclassified images, or `None`.
        mistakes: The misclassified images, a `uint8` array of shape `(m, height, width, channels)`, in the order of the
            test set, or `None`.
        loss: What the model returns and what its loss expects, or `None` if the loss is not known.
        agreement: How lrdiag's own pass compares with `model.predict` and `model.evaluate`, or `None`.
        inspection: What was observed of the model, its training data and its training run.
        run: The record of the training run so far, if the model was not evaluated yet.
        maker: The part of lrdiag that trains or evaluates the model, if it was not evaluated yet.
        typed: The command line that repeats the run, if the model was not evaluated yet.
        test_images: The test images with their predictions, or `None`.
        training_images: The training images, or a sample of them, with the predictions of the trained model, or `None`.
        changed: Images before and after a change, by the name of the correction or shortcut.
    """

    evaluation: Diagnosis | None = None
    predictions: Predictions | None = None
    heatmaps: Heatmaps | None = None
    mistakes: np.ndarray | None = None
    loss: ModelLoss | None = None
    agreement: Agreement | None = None
    inspection: Inspection = NOTHING
    run: TrainingRun | None = None
    maker: MadeBy = "diagnose"
    typed: str = ""
    test_images: ImageTable | None = None
    training_images: ImageTable | None = None
    changed: Mapping[str, Sequence[Changed]] = field(default_factory=dict)

    @property
    def facts(self) -> Diagnosis:
        """The facts of the run. A rule that uses them needs the evaluation."""
        return given(self.evaluation)

    @cached_property
    def wrong(self) -> WrongImages:
        """Every misclassified image, highest loss first. Without predictions, those that the facts describe."""
        return WrongImages.described_in(self.facts) if self.predictions is None else WrongImages.of(self.predictions)

    @property
    def made_by(self) -> MadeBy:
        """The part of lrdiag that makes the report. It decides which remedies the findings name."""
        return self.maker if self.evaluation is None else self.evaluation.made_by

    @property
    def command(self) -> str:
        """The command line that repeats the run. Empty in Python."""
        return self.typed if self.evaluation is None else self.evaluation.command

    @property
    def training(self) -> TrainingRun | None:
        """The record of the training run with its steps, or `None`."""
        return self.run if self.evaluation is None else self.evaluation.training

    @property
    def time(self) -> TimeSpent | None:
        """Where the time of the training run went, or `None`."""
        return None if self.training is None else self.training.time

    @property
    def range_test(self) -> RangeTestFacts | None:
        """The learning-rate range test, or `None`."""
        return None if self.evaluation is None else self.evaluation.range_test

    @property
    def train_sample(self) -> TrainingSample | None:
        """Figures of a sample of the training images in inference mode, or `None`."""
        return None if self.evaluation is None else self.evaluation.train_sample

    @property
    def comparison(self) -> Comparison | None:
        """The comparison with the baseline, or `None`."""
        return None if self.evaluation is None else self.evaluation.comparison

    @property
    def compiled(self) -> Compiled | None:
        """How the model is compiled, or `None`."""
        return self.inspection.compiled

    @property
    def layers(self) -> tuple[Layer, ...] | None:
        """The calls of the layers in their order, or `None`."""
        return self.inspection.layers

    @property
    def scores(self) -> Scores | None:
        """What the model returns for a few images, or `None`."""
        return self.inspection.scores

    @property
    def start(self) -> Start | None:
        """The pass before the first update, or `None`."""
        return self.inspection.start

    @property
    def rates(self) -> Rates | None:
        """The planned learning rates, or `None`."""
        return self.inspection.rates

    @property
    def trial(self) -> Trial | None:
        """The trial of the optimizer, or `None`."""
        return self.inspection.trial

    @property
    def training_data(self) -> ImageSet | None:
        """What is known of the training data, or `None`."""
        return self.inspection.training_data

    @property
    def validation_data(self) -> ImageSet | None:
        """What is known of the validation data, or `None`."""
        return self.inspection.validation_data

    @property
    def shared(self) -> float | None:
        """Share of the validation images that are training images too, or `None`."""
        return self.inspection.shared

    @property
    def epochs(self) -> tuple[EpochState, ...] | None:
        """What each epoch did, or `None` if none was observed."""
        return self.inspection.epochs or None

    @property
    def turned(self) -> Turned | None:
        """How the layers of the model turn training images, or `None` if they do not augment them."""
        return self.inspection.turned

    @property
    def data(self) -> DataFacts:
        """What was measured on images and labels."""
        return NOT_STUDIED if self.evaluation is None else self.evaluation.data

    @property
    def suspects(self) -> list[Suspect] | None:
        """Images whose labels are probably wrong, or `None`."""
        return self.data.suspects

    @property
    def copies(self) -> Copies | None:
        """Copies in and between the sets, or `None`."""
        return self.data.copies

    @property
    def shared_groups(self) -> SharedGroups | None:
        """Groups that are in both sets, or `None`."""
        return None if self.copies is None else self.copies.shared_groups

    @property
    def corrections(self) -> list[Correction] | None:
        """Changes of the test images that were tried, or `None`."""
        return self.data.corrections

    @property
    def shortcuts(self) -> list[Shortcut] | None:
        """Confirmed shortcuts, or `None`."""
        return self.data.shortcuts

    @property
    def slices(self) -> list[Slice] | None:
        """Groups of test images with a higher error, or `None`."""
        return self.data.slices

    @property
    def temperature(self) -> Temperature | None:
        """Temperature scaling of the confidence, or `None`."""
        return self.data.temperature

    def images(self, part: Part) -> ImageTable | None:
        """The images of a set, or `None`."""
        return self.test_images if part == "test" else self.training_images

    def lacks(self, need: Need) -> bool:
        """Returns whether a piece of evidence is missing."""
        return getattr(self, need) is None

    def reason(self, need: Need) -> str:
        """Returns why a piece of evidence is missing; it completes the sentence "not checked: …"."""
        return self.inspection.reasons.get(need) or self.data.reasons.get(need) or MISSING[need]


Piece = TypeVar("Piece")


def given(piece: Piece | None) -> Piece:
    """Returns evidence that the rule needs, which therefore is not `None`.

    Raises:
        ValueError: If the rule does not name it in `needs`.
    """
    if piece is None:
        raise ValueError("A rule must name the evidence that it requires in `needs`. Received: None")
    return piece
