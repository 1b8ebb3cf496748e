"""The results of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lrdiag.record.agreement import Agreement
from lrdiag.record.arrays import Heatmaps, Predictions
from lrdiag.record.facts import HeatmapFacts
from lrdiag.record.image_table import ImageTable


@dataclass(frozen=True)
class PassFacts:
    """What is known of a pass over images, besides what was gathered of them.

    Attributes:
        image_shape: Height, width and channels of the images before they are scaled down.
        value_range: The minimum and maximum of the values that the model received.
        agreement: How the pass compares with `model.predict` and `model.evaluate`; `None` if it was not compared.
        data_notes: Sentences about the data.
        pass_notes: Sentences about the pass, and about how images are shown.
    """

    image_shape: tuple[int, int, int]
    value_range: tuple[float, float]
    agreement: Agreement | None
    data_notes: tuple[str, ...]
    pass_notes: tuple[str, ...]


@dataclass(frozen=True)
class Evaluated:
    """The results of an evaluation.

    Attributes:
        predictions: The predictions for every image.
        heatmaps: The maps of the misclassified images; `None` if the model has no feature map.
        heatmap_facts: How the heatmaps were made.
        mistakes: The misclassified images, or those of them that were kept, a `uint8` array of shape
            `(m, height, width, channels)`, in the order of the test set; scaled down to the size that the page shows.
        image_shape: Height, width and channels of the images before they are scaled down.
        value_range: The minimum and maximum of the values that the model received.
        fingerprint: The fingerprint of images and labels.
        returns_probabilities: Whether the model ends in a softmax or sigmoid.
        loss_takes_logits: Whether the compiled loss expects logits; `None` if the model is not compiled.
        every_map: The map of every image for its predicted class, `float16` of shape `(n, h, w)`, ≥ 0; `None` unless
            requested and available.
        notes: Sentences about the evaluation that a reader needs to interpret the figures.
        agreement: How the pass compares with `model.predict` and `model.evaluate`; `None` if it was not compared.
        images: The table of the test images; `None` once it is forgotten.
        mistake_indices: `int64` of shape `(m,)`, ascending: the test image of each row of `mistakes`. Those of the rows
            of `heatmaps` are `heatmaps.indices`.
    """

    predictions: Predictions
    heatmaps: Heatmaps | None
    heatmap_facts: HeatmapFacts
    mistakes: np.ndarray
    image_shape: tuple[int, int, int]
    value_range: tuple[float, float]
    fingerprint: str
    returns_probabilities: bool
    loss_takes_logits: bool | None
    every_map: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    agreement: Agreement | None = None
    images: ImageTable | None = None
    mistake_indices: np.ndarray = field(kw_only=True)
