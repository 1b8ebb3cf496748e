"""Misclassified images, ranked by loss."""

from __future__ import annotations

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
    predicted, confidence, losses = predictions.predicted, predictions.confidence, predictions.losses
    every = predictions.ranked_mistakes
    ranked = every[:MOST_MISTAKES]
    top = np.argsort(-predictions.ranking[ranked], axis=1, kind="stable")[:, :TOP]
    probabilities = _probabilities(predictions, ranked, top)
    items = [
        Mistake(
            index=int(index),
            true=int(predictions.labels[index]),
            predicted=int(predicted[index]),
            confidence=finite(confidence[index]),
            loss=finite(losses[index]),
            top_classes=top[place].tolist(),
            top_probabilities=[finite(each) for each in probabilities[place]],
            file=encodable(files[index]) if files else None,
        )
        for place, index in enumerate(ranked)
    ]
    return Misclassified(len(every), items)


def _probabilities(predictions: Predictions, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The probability of some classes of each image; NaN if it is unknown."""
    if predictions.log_probabilities is None:
        return np.full(classes.shape, np.nan)
    logarithms = predictions.log_probabilities[images]
    return np.asarray(np.exp(np.take_along_axis(logarithms, classes, axis=1)).round(_DIGITS))
