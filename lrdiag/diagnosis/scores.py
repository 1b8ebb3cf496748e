"""The figures of the test set: the headline, each class, the confusions."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from lrdiag.diagnosis.mistakes import TOP
from lrdiag.record.arrays import Predictions, finite
from lrdiag.record.facts import Averages, ClassFacts, ConfusedPair, Score


def score(predictions: Predictions) -> Score:
    """The headline: accuracy with its 95 % Wilson interval, mean cross-entropy in nats, and means over the classes."""
    size = len(predictions.labels)
    correct = size - len(predictions.misclassified)
    interval = binomtest(correct, size).proportion_ci(0.95, method="wilson")
    macro = _averages(predictions, "macro")
    return Score(
        size=size,
        accuracy=correct / size,
        accuracy_low=float(interval.low),
        accuracy_high=float(interval.high),
        loss=finite(predictions.losses.mean()),
        balanced_accuracy=macro.recall,
        top5_accuracy=_top5(predictions),
        macro=macro,
        weighted=_averages(predictions, "weighted"),
    )


def _averages(predictions: Predictions, how: str) -> Averages:
    """Means over the classes that have test images; a class that was never predicted has precision 0."""
    precision, recall, f1, _ = precision_recall_fscore_support(
        predictions.labels,
        predictions.predicted,
        labels=np.unique(predictions.labels),
        average=how,
        zero_division=0.0,
    )
    return Averages(float(precision), float(recall), float(f1))


def _top5(predictions: Predictions) -> float | None:
    size, classes = predictions.log_probabilities.shape
    if classes <= TOP:
        return None
    # not scikit-learn's: it refuses scores that are not numbers, and ranks equals otherwise than `rank_mistakes`
    wrong = predictions.misclassified
    top = np.argsort(-predictions.log_probabilities[wrong], axis=1, kind="stable")[:, :TOP]
    found = np.count_nonzero((top == predictions.labels[wrong, None]).any(axis=1))
    return float((size - len(wrong) + found) / size)


def class_facts(predictions: Predictions, names: tuple[str, ...]) -> list[ClassFacts]:
    """Precision, recall, F1 and support of each class; `None` where a figure would divide by zero."""
    precision, recall, f1, support = precision_recall_fscore_support(
        predictions.labels, predictions.predicted, labels=range(len(names)), zero_division=np.nan
    )
    return [
        ClassFacts(name, finite(precision[i]), finite(recall[i]), finite(f1[i]), int(support[i]))
        for i, name in enumerate(names)
    ]


def confusion(predictions: Predictions, classes: int) -> np.ndarray:
    """Counts: an `int64` array of shape `(classes, classes)`, rows are true classes, columns predicted ones."""
    return np.asarray(confusion_matrix(predictions.labels, predictions.predicted, labels=range(classes)))


def confused_pairs(counts: np.ndarray) -> list[ConfusedPair]:
    """Every pair of classes that was confused, the most frequent first.

    Example:
        >>> [(pair.true, pair.predicted, pair.count) for pair in confused_pairs(np.array([[8, 2], [1, 9]]))]
        [(0, 1, 2), (1, 0, 1)]

    Args:
        counts: What `confusion` returns.
    """
    errors = counts - np.diag(np.diag(counts))
    shares = errors / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    order = np.argsort(-errors, axis=None, kind="stable")
    pairs = zip(*np.unravel_index(order, errors.shape), strict=True)
    return [
        ConfusedPair(int(true), int(predicted), int(errors[true, predicted]), float(shares[true, predicted]))
        for true, predicted in pairs
        if errors[true, predicted]
    ]
