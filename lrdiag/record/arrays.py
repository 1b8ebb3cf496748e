"""The arrays that flow between the steps of a run: images, datasets, predictions, heatmaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lrdiag.errors import DataError
from lrdiag.record.frames import data_frame
from lrdiag.record.ranges import Text

if TYPE_CHECKING:
    import pandas as pd


def finite(value: float | None) -> float | None:
    """`value` as a float, or `None` if it is NaN or infinite, which JSON does not allow."""
    return float(value) if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels.

    Attributes:
        images: `uint8` array of shape `(n, height, width, channels)`, values 0–255.
        labels: `int64` array of shape `(n,)`, indices into the classes of the dataset.
        files: The file that each image was read from; empty if the images do not come from single files.
    """

    images: np.ndarray
    labels: np.ndarray
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise DataError(
                "Images must be a uint8 array of shape (n, height, width, channels). "
                f"Received: shape={self.images.shape}, dtype={self.images.dtype}"
            )
        if self.labels.shape != (len(self.images),):
            raise DataError(
                "There must be one label per image. "
                f"Received: {len(self.images)} images and labels of shape {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, places: range) -> LabelledImages:
        """Returns successive images, without a copy of them."""
        chosen = slice(places.start, places.stop)
        return LabelledImages(self.images[chosen], self.labels[chosen], self.files[chosen])

    def take(self, indices: np.ndarray) -> LabelledImages:
        """Selects the images at `indices`, in that order."""
        files = tuple(self.files[i] for i in indices) if self.files else ()
        return LabelledImages(self.images[indices], self.labels[indices], files)


@dataclass(frozen=True)
class SkippedFile:
    """A file that could not be read, and why."""

    file: Text
    reason: Text


NO_IMAGES = LabelledImages(np.empty((0, 1, 1, 3), np.uint8), np.empty(0, np.int64))


@dataclass(frozen=True)
class Dataset:
    """A classification problem.

    Attributes:
        name: Name of the data in the report.
        source: Where the data comes from, in words.
        classes: Name of each class.
        train: Training images; empty if a trained model is only evaluated.
        test: Test images, used once, at the end.
        validation: Validation images; empty until they are read or `lrdiag.data.hold_out_validation` splits them off
            `train`.
        fallback: Why this data is used instead of the requested data, or `None`.
        skipped: Files that could not be read.
        notes: Sentences on how the images were read, which a reader needs to interpret the figures.
        sixteen_bit_max: The maximum of images with 16 bits for each value, as their upper 8 bits, 0–255; `None`
            without such images.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    train: LabelledImages
    test: LabelledImages
    validation: LabelledImages = NO_IMAGES
    fallback: str | None = None
    skipped: tuple[SkippedFile, ...] = ()
    notes: tuple[str, ...] = ()
    sixteen_bit_max: int | None = None

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise DataError(
                f"Classification needs two classes or more. Received: {list(self.classes)} in {self.source}"
            )
        if not len(self.test):
            raise DataError(f"The test set is empty. Add images to it. Received: {self.source}")
        for split, part in (("training", self.train), ("validation", self.validation), ("test", self.test)):
            foreign = part.labels[(part.labels < 0) | (part.labels >= len(self.classes))]
            if len(foreign):
                raise DataError(
                    f"Labels must be between 0 and {len(self.classes) - 1}, because there are {len(self.classes)} "
                    f"classes. Received: {foreign[0]} in the {split} set of {self.source}"
                )


CROSS_ENTROPY = "cross-entropy, nats"
"""The loss if the model gives each image one probability distribution over the classes."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of the model for each test image.

    Attributes:
        log_probabilities: `float64` array of shape `(n, classes)`, natural logarithms of the probabilities that the
            model gives. The probabilities of an image sum to 1, unless each class has its own sigmoid. `None` if the
            model returns scores from which no probability follows.
        labels: `int64` array of shape `(n,)`, the true classes.
        scores: `float64` array of shape `(n, classes)`: the class with the highest score is predicted. `None` if it is
            the most probable class.
        own_losses: `float64` array of shape `(n,)`: the loss of each image, if it is not the cross-entropy of the true
            class.
        loss_name: The loss in words, or `None` if it is unknown.
        notes: Sentences about the meaning of the figures.
    """

    log_probabilities: np.ndarray | None
    labels: np.ndarray
    scores: np.ndarray | None = None
    own_losses: np.ndarray | None = None
    loss_name: str | None = CROSS_ENTROPY
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        known = "unknown" if self.loss_name is None else self.loss_name
        wrong = len(self.misclassified)
        return f"Predictions(images={len(self.labels)}, classes={self.classes}, misclassified={wrong}, loss={known!r})"

    def to_pandas(self, class_names: Sequence[str] | None = None) -> pd.DataFrame:
        """Returns a data frame with one row for each image, in the order of the test set.

        Example:
            >>> predictions = Predictions.from_scores(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]))
            >>> frame = predictions.to_pandas(["cat", "dog"])
            >>> frame["predicted"].tolist(), frame["confidence"].tolist()
            (['cat', 'dog'], [0.9, 0.8])

        Args:
            class_names: Name of each class. Without them, classes are indices.

        Returns:
            A `pandas.DataFrame` with the columns `index`, `true`, `predicted`, `correct`, `confidence` and `loss`, as
            in predictions.csv. Confidence and loss are NaN if they are unknown.

        Raises:
            LrdiagError: If pandas is not installed.
        """
        names = None if class_names is None else np.asarray(class_names, dtype=object)
        true, predicted = self.labels, self.predicted
        return data_frame(
            {
                "index": np.arange(len(true)),
                "true": true if names is None else names[true],
                "predicted": predicted if names is None else names[predicted],
                "correct": true == predicted,
                "confidence": self.confidence,
                "loss": self.losses,
            }
        )

    @classmethod
    def from_scores(cls, scores: np.ndarray, labels: np.ndarray) -> Predictions:
        """Builds predictions from the output of a model, logits or probabilities, of shape `(n, classes)`."""
        scores = scores.astype(np.float64)
        if is_probability(scores):
            return cls(np.log(np.maximum(scores, np.finfo(np.float32).tiny)), labels)
        return cls(log_softmax(scores), labels)

    @property
    def ranking(self) -> np.ndarray:
        """`float64` array of shape `(n, classes)`: the higher the value, the more the model is for the class."""
        ranking = self.log_probabilities if self.scores is None else self.scores
        if ranking is None:
            raise DataError("Predictions need scores or probabilities. Received: neither")
        return ranking

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.ranking.shape[1])

    @property
    def predicted(self) -> np.ndarray:
        """`int64` array of shape `(n,)`: the predicted class; class 0 if the scores of an image are NaN."""
        return np.asarray(self.ranking.argmax(axis=1))

    @property
    def confidence(self) -> np.ndarray:
        """`float64` array of shape `(n,)`: the probability of the predicted class; NaN if it is unknown."""
        if self.log_probabilities is None:
            return np.full(len(self.labels), np.nan)
        return np.asarray(np.exp(self.log_probabilities[np.arange(len(self.labels)), self.predicted]))

    @property
    def losses(self) -> np.ndarray:
        """`float64` array of shape `(n,)`: the loss of each image; NaN if it is unknown."""
        if self.own_losses is not None:
            return self.own_losses
        if self.log_probabilities is None:
            return np.full(len(self.labels), np.nan)
        return np.asarray(-self.log_probabilities[np.arange(len(self.labels)), self.labels])

    def take(self, indices: np.ndarray) -> Predictions:
        """The predictions for the images at `indices`, in that order."""

        def taken(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[indices]

        return Predictions(
            taken(self.log_probabilities),
            self.labels[indices],
            taken(self.scores),
            taken(self.own_losses),
            self.loss_name,
            self.notes,
        )

    @property
    def misclassified(self) -> np.ndarray:
        """`int64` array: the indices of the images whose predicted class is wrong, ascending."""
        return np.flatnonzero(self.predicted != self.labels)

    @property
    def ranked_mistakes(self) -> np.ndarray:
        """`int64` array: `misclassified`, those of the highest `severity` first; equal ones keep their order."""
        wrong = self.misclassified
        return wrong[np.argsort(-self.severity[wrong], kind="stable")]

    @property
    def severity(self) -> np.ndarray:
        """`float64` array of shape `(n,)`: the loss of each image.

        If it is unknown, it is replaced by the score of the predicted class minus that of the true class.
        """
        if self.loss_name is not None:
            return self.losses
        rows = np.arange(len(self.labels))
        return np.asarray(self.ranking[rows, self.predicted] - self.ranking[rows, self.labels])


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """The logarithm of the softmax of each row, `float64` of shape `(n, classes)`."""
    with np.errstate(invalid="ignore"):  # NaN and infinite scores are a finding, not a warning of numpy
        return np.asarray(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))


def is_probability(scores: np.ndarray) -> bool:
    """Whether each row of `scores`, of shape `(n, classes)`, is a distribution: non-negative, with sum one."""
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-2))


@dataclass(frozen=True)
class MeanHeatmaps:
    """Mean heatmap of each true class; each heatmap is scaled to a maximum of one first.

    Attributes:
        right: `float32` array of shape `(classes, h, w)`: over the correctly classified images; zeros without any.
        wrong: `float32` array of shape `(classes, h, w)`: over the misclassified images, for their predicted classes.
    """

    right: np.ndarray
    wrong: np.ndarray


@dataclass(frozen=True)
class Heatmaps:
    """Raw heatmaps of the misclassified images; not rescaled, so that images can be compared.

    Attributes:
        method: Name of the method.
        layer: The layer whose feature maps were weighted, as a path through nested models.
        indices: `int64` array of shape `(m,)`: the test image of each heatmap, ascending.
        signed_predicted: `float32` array of shape `(m, h, w)`: evidence for the predicted class; negative values are
            evidence against it.
        signed_true: `float32` array of shape `(m, h, w)`: the same for the true class.
        means: Mean heatmaps of the classes; `None` if the method does not provide them.
    """

    method: str
    layer: str
    indices: np.ndarray
    signed_predicted: np.ndarray
    signed_true: np.ndarray
    means: MeanHeatmaps | None

    def __repr__(self) -> str:
        count, height, width = self.signed_predicted.shape
        return f"Heatmaps({count} of {height}×{width}, method={self.method!r}, layer={self.layer!r})"

    @property
    def predicted(self) -> np.ndarray:
        """`float32` array of shape `(m, h, w)`, ≥ 0: evidence for the predicted class."""
        return np.asarray(np.maximum(self.signed_predicted, 0))

    @property
    def true(self) -> np.ndarray:
        """`float32` array of shape `(m, h, w)`, ≥ 0: evidence for the true class."""
        return np.asarray(np.maximum(self.signed_true, 0))

    @property
    def difference(self) -> np.ndarray:
        """`float32` array of shape `(m, h, w)`: evidence for the predicted class minus evidence for the true class."""
        return np.asarray(self.signed_predicted - self.signed_true)
