"""Misclassified images, ranked by loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lrdiag.formats import encodable
from lrdiag.limits import MOST_MISTAKES
from lrdiag.record.arrays import Predictions, finite
from lrdiag.record.facts import Misclassified, Mistake

TOP = 5  # most probable classes that each mistake lists
_DIGITS = 6  # of the probabilities: more would double the size of report.json


def rank_mistakes(predictions: Predictions, files: tuple[str, ...] = ()) -> Misclassified:
    """Ranks the misclassified images, highest loss first; equal losses keep the order of the test set.

    The first `MOST_MISTAKES` are described. The others are only counted.

    Args:
        predictions: Predictions for the test set.
        files: The file of each test image, or empty.
    """
    every = predictions.ranked_mistakes
    return Misclassified(len(every), describe(predictions, every[:MOST_MISTAKES], files))


def describe(predictions: Predictions, images: np.ndarray, files: Sequence[str] = ()) -> list[Mistake]:
    """Describes some images.

    Args:
        predictions: Predictions for the test set.
        images: `int64` of shape `(m,)`: their places in the test set.
        files: The file of each test image, or empty.
    """
    chosen = predictions.take(images)
    predicted, confidence, losses = chosen.predicted, chosen.confidence, chosen.losses
    top = np.argsort(-chosen.ranking, axis=1, kind="stable")[:, :TOP]
    probabilities = _probabilities(chosen, top)
    return [
        Mistake(
            index=int(index),
            true=int(chosen.labels[place]),
            predicted=int(predicted[place]),
            confidence=finite(confidence[place]),
            loss=finite(losses[place]),
            top_classes=top[place].tolist(),
            top_probabilities=[finite(each) for each in probabilities[place]],
            file=encodable(files[index]) if files else None,
        )
        for place, index in enumerate(images)
    ]


def _probabilities(predictions: Predictions, classes: np.ndarray) -> np.ndarray:
    """The probability of some classes of each image; NaN if it is unknown."""
    if predictions.log_probabilities is None:
        return np.full(classes.shape, np.nan)
    logarithms = np.take_along_axis(predictions.log_probabilities, classes, axis=1)
    return np.asarray(np.exp(logarithms).round(_DIGITS))
