"""The misclassified images, ranked."""

from __future__ import annotations

from lrdiag.records import Misclassified, Mistake, Predictions


def rank_mistakes(predictions: Predictions, files: tuple[str, ...] = ()) -> Misclassified:
    """Every misclassified image, the highest loss first; equal losses keep the order of the test set.

    Args:
        predictions: Of the test set.
        files: The file of each test image, or empty.
    """
    predicted, confidence, losses = predictions.predicted, predictions.confidence, predictions.losses
    items = [
        Mistake(
            index=int(index),
            true=int(predictions.labels[index]),
            predicted=int(predicted[index]),
            confidence=float(confidence[index]),
            loss=float(losses[index]),
            # a file name that is no UTF-8 reaches Python as lone surrogates, which JSON cannot hold
            file=files[index].encode(errors="replace").decode() if files else None,
        )
        for index in predictions.ranked_mistakes
    ]
    return Misclassified(len(items), items)
