"""The misclassified images, ranked."""

from __future__ import annotations

import numpy as np

from lrdiag.record.arrays import Predictions, finite
from lrdiag.record.facts import Misclassified, Mistake

TOP = 5  # most probable classes that are told of each mistake
_DIGITS = 6  # of their probabilities: more would double report.json


def rank_mistakes(predictions: Predictions, files: tuple[str, ...] = ()) -> Misclassified:
    """Every misclassified image, the highest loss first; equal losses keep the order of the test set.

    Args:
        predictions: Of the test set.
        files: The file of each test image, or empty.
    """
    predicted, confidence, losses = predictions.predicted, predictions.confidence, predictions.losses
    ranked = predictions.ranked_mistakes
    log_probabilities = predictions.log_probabilities[ranked]
    top = np.argsort(-log_probabilities, axis=1, kind="stable")[:, :TOP]
    probabilities = np.exp(np.take_along_axis(log_probabilities, top, axis=1)).round(_DIGITS)
    items = [
        Mistake(
            index=int(index),
            true=int(predictions.labels[index]),
            predicted=int(predicted[index]),
            confidence=finite(confidence[index]),
            loss=finite(losses[index]),
            top_classes=top[place].tolist(),
            top_probabilities=[finite(each) for each in probabilities[place]],
            # a file name that is no UTF-8 reaches Python as lone surrogates, which JSON cannot hold
            file=files[index].encode(errors="replace").decode() if files else None,
        )
        for place, index in enumerate(ranked)
    ]
    return Misclassified(len(items), items)
