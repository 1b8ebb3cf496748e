"""The evidence that the rules use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from lrdiag.record.agreement import Agreement
from lrdiag.record.arrays import Heatmaps, Predictions
from lrdiag.record.facts import Comparison, Diagnosis, RangeTestFacts, TrainingRun, TrainingSample

Need = Literal[
    "training",
    "range_test",
    "train_sample",
    "comparison",
    "loss",
    "agreement",
    "predictions",
    "heatmaps",
    "mistakes",
]
MISSING: dict[Need, str] = {
    "training": "training was not recorded",
    "range_test": "no range test was run",
    "train_sample": "the training images were not evaluated",
    "comparison": "the run was not compared with a baseline",
    "loss": "the model was not compiled with a cross-entropy",
    "agreement": "the model was not compared with its own methods",
    "predictions": "the predictions are not available",
    "heatmaps": "the heatmaps are not available",
    "mistakes": "the misclassified images are not available",
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
        facts: The facts of the run. Their findings and checks are those of earlier rules.
        predictions: Predictions for every test image, or `None`.
        heatmaps: Heatmaps of the misclassified images, or `None`.
        mistakes: The misclassified images, a `uint8` array of shape `(m, height, width, channels)`, in the order of the
            test set, or `None`.
        loss: What the model returns and what its loss expects, or `None` if the loss is not known.
        agreement: How lrdiag's own pass compares with `model.predict` and `model.evaluate`, or `None`.
    """

    facts: Diagnosis
    predictions: Predictions | None = None
    heatmaps: Heatmaps | None = None
    mistakes: np.ndarray | None = None
    loss: ModelLoss | None = None
    agreement: Agreement | None = None

    @property
    def training(self) -> TrainingRun | None:
        """The record of the training run with its steps, or `None`."""
        return self.facts.training

    @property
    def range_test(self) -> RangeTestFacts | None:
        """The learning-rate range test, or `None`."""
        return self.facts.range_test

    @property
    def train_sample(self) -> TrainingSample | None:
        """Figures of a sample of the training images in inference mode, or `None`."""
        return self.facts.train_sample

    @property
    def comparison(self) -> Comparison | None:
        """The comparison with the baseline, or `None`."""
        return self.facts.comparison

    def lacks(self, need: Need) -> bool:
        """Returns whether a piece of evidence is missing."""
        return getattr(self, need) is None


Piece = TypeVar("Piece")


def given(piece: Piece | None) -> Piece:
    """Returns evidence that the rule needs, which therefore is not `None`.

    Raises:
        ValueError: If the rule does not name it in `needs`.
    """
    if piece is None:
        raise ValueError("A rule must name the evidence that it requires in `needs`. Received: None")
    return piece
