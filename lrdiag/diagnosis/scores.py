"""Figures of the test set: headline, classes, confusion matrix; and figures of a sample of the training images."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from lrdiag.diagnosis.mistakes import TOP
from lrdiag.intervals import wilson
from lrdiag.record.arrays import Predictions, finite
from lrdiag.record.facts import Averages, ClassFacts, Score, TrainingSample


def score(predictions: Predictions) -> Score:
    """Computes the headline: accuracy with its interval, mean loss, and means over the classes."""
    size = len(predictions.labels)
    correct = size - len(predictions.misclassified)
    low, high = wilson(correct, size)
    macro = _averages(predictions, "macro")
    return Score(
        size=size,
        accuracy=correct / size,
        accuracy_low=low,
        accuracy_high=high,
        loss=finite(predictions.losses.mean()),
        balanced_accuracy=macro.recall,
        top5_accuracy=_top5(predictions),
        macro=macro,
        weighted=_averages(predictions, "weighted"),
        loss_name=predictions.loss_name,
        has_confidence=predictions.log_probabilities is not None,
        not_finite=int(np.isnan(predictions.ranking).any(axis=1).sum()),
    )


def _averages(predictions: Predictions, how: str) -> Averages:
    """Computes means over the classes that have test images; a class that is never predicted has precision 0."""
    precision, recall, f1, _ = precision_recall_fscore_support(
        predictions.labels,
        predictions.predicted,
        labels=np.unique(predictions.labels),
        average=how,
        zero_division=0.0,
    )
    return Averages(float(precision), float(recall), float(f1))


def _top5(predictions: Predictions) -> float | None:
    size = len(predictions.labels)
    if predictions.classes <= TOP:
        return None
    # Not scikit-learn's: it rejects NaN and infinite scores, and orders ties differently from `rank_mistakes`.
    wrong = predictions.misclassified
    top = np.argsort(-predictions.ranking[wrong], axis=1, kind="stable")[:, :TOP]
    found = np.count_nonzero((top == predictions.labels[wrong, None]).any(axis=1))
    return float((size - len(wrong) + found) / size)


def class_facts(predictions: Predictions, names: tuple[str, ...]) -> list[ClassFacts]:
    """Computes precision, recall, F1 and support of each class; a figure that divides by zero is `None`."""
    precision, recall, f1, support = precision_recall_fscore_support(
        predictions.labels, predictions.predicted, labels=range(len(names)), zero_division=np.nan
    )
    right = np.bincount(predictions.labels[predictions.predicted == predictions.labels], minlength=len(names))
    named = np.bincount(predictions.predicted, minlength=len(names))
    return [
        ClassFacts(
            name, finite(precision[i]), finite(recall[i]), finite(f1[i]), int(support[i]),
            *_interval(right[i], support[i]), *_interval(right[i], named[i]),
        )
        for i, name in enumerate(names)
    ]  # fmt: skip


def _interval(hits: int, trials: int) -> tuple[float, float] | tuple[None, None]:
    return wilson(int(hits), int(trials)) if trials else (None, None)


def training_sample(predictions: Predictions) -> TrainingSample:
    """Computes the figures of a sample of the training images.

    Args:
        predictions: Predictions for them in inference mode, one or more.
    """
    size = len(predictions.labels)
    correct = size - len(predictions.misclassified)
    return TrainingSample(size, correct / size, *wilson(correct, size), finite(predictions.losses.mean()))


def confusion(predictions: Predictions, classes: int) -> np.ndarray:
    """Counts images: an `int64` array of shape `(classes, classes)`; rows are true classes, columns predicted ones."""
    return np.asarray(confusion_matrix(predictions.labels, predictions.predicted, labels=range(classes)))
