"""Confused pairs of classes, and the one definition of the worst pair."""

from __future__ import annotations

import numpy as np

from lrdiag.intervals import wilson
from lrdiag.record.facts import ConfusedPair, Diagnosis

FEWEST_IN_PAIR = 5
"""Fewest images for a pair to be called the worst one."""


def confused_pairs(counts: np.ndarray) -> list[ConfusedPair]:
    """Every confused pair of classes, worst first.

    Pairs are ranked by the lower end of the 95 % interval of their share of the true class. Among classes of equal size
    this is the order of the counts. A few images of a small class do not outrank many of a large one, and a large class
    does not hide a small one that is mostly misclassified.

    Example:
        >>> [(pair.true, pair.predicted, pair.count) for pair in confused_pairs(np.array([[8, 2], [1, 9]]))]
        [(0, 1, 2), (1, 0, 1)]

    Args:
        counts: Confusion matrix: rows are true classes, columns are predicted classes.
    """
    support = counts.sum(axis=1)
    pairs = [
        ConfusedPair(int(true), int(predicted), int(counts[true, predicted]), float(counts[true, predicted] / of_class))
        for true, of_class in enumerate(support)
        for predicted in np.flatnonzero(counts[true])
        if predicted != true
    ]
    return sorted(pairs, key=lambda pair: -wilson(pair.count, int(support[pair.true]))[0])


def worst_pair(diagnosis: Diagnosis) -> ConfusedPair | None:
    """The worst confused pair; `None` if no pair has at least 5 images.

    Every part of the report uses this definition. See `confused_pairs` for the ranking.
    """
    return next((pair for pair in diagnosis.confused_pairs if pair.count >= FEWEST_IN_PAIR), None)
