"""Which class is taken for which."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.facts import ConfusedPair, Diagnosis, Run

MATRIX_LIMIT = 40
"""Most classes that a matrix shows; beyond, it would be all zeros and only the worst pairs are listed."""
_PAIRS_LISTED = 50


@dataclass(frozen=True)
class Cell:
    """One field of the matrix.

    Attributes:
        predicted: The class that was named.
        count: How many images.
        share: Their share of the row.
        heat: That share in whole percent of the largest error of all; `None` where the answer is right.
    """

    predicted: int
    count: int
    share: float
    heat: int | None


@dataclass(frozen=True)
class Row:
    """The images of one class, by what they were taken for."""

    true: int
    support: int
    cells: list[Cell]


@dataclass(frozen=True)
class Confusion:
    """The matrix, or the worst pairs where there are too many classes for one.

    Attributes:
        sentence: The worst pair in words.
        classes: The name of each class.
        rows: The matrix; empty beyond `MATRIX_LIMIT` classes.
        pairs: The worst pairs, the most images first; empty where there is a matrix.
        largest: The largest error as a share of its row.
    """

    sentence: str
    classes: list[str]
    rows: list[Row]
    pairs: list[ConfusedPair]
    largest: float


def build(run: Run) -> Confusion:
    """Lays out the confusion matrix."""
    diagnosis = run.diagnosis
    matrix, pairs = diagnosis.confusion, diagnosis.confused_pairs
    largest = max((pair.share for pair in pairs), default=0.0)
    fits = len(matrix) <= MATRIX_LIMIT
    return Confusion(
        sentence=_sentence(diagnosis),
        classes=diagnosis.dataset.classes,
        rows=[_row(true, counts, largest) for true, counts in enumerate(matrix)] if fits else [],
        pairs=[] if fits else pairs[:_PAIRS_LISTED],
        largest=largest,
    )


def _row(true: int, counts: list[int], largest: float) -> Row:
    support = sum(counts)
    cells = []
    for predicted, count in enumerate(counts):
        share = count / support if support else 0.0
        heat = None if predicted == true else round(100 * share / (largest or 1.0))
        cells.append(Cell(predicted, count, share, heat))
    return Row(true, support, cells)


def _sentence(diagnosis: Diagnosis) -> str:
    if not diagnosis.confused_pairs:
        return "No class is taken for another."
    worst = max(diagnosis.confused_pairs, key=lambda pair: (pair.share, -pair.true, -pair.predicted))
    true, predicted = (formats.short(diagnosis.dataset.classes[index]) for index in (worst.true, worst.predicted))
    count, support = formats.count(worst.count), formats.count(sum(diagnosis.confusion[worst.true]))
    return f"The worst: {count} of {support} {true} images, {formats.percent(worst.share)}, taken for {predicted}."
