"""The section on confusion: which classes are predicted as which."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from lrdiag import formats
from lrdiag.diagnosis.pairs import FEWEST_IN_PAIR, worst_pair
from lrdiag.record.facts import ConfusedPair, Diagnosis, Run
from lrdiag.report.charts.matrix import matrix_picture

MATRIX_LIMIT = 40
"""Most classes that are shown as a matrix; with more, it is mostly zeros, and the worst pairs are listed instead."""
_PAIRS_LISTED = 50


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix.

    Attributes:
        predicted: The predicted class.
        count: Number of images.
        share: Their share of the row.
        heat: This share in whole percent of the largest error of all; `None` on the diagonal.
    """

    predicted: int
    count: int
    share: float
    heat: int | None


@dataclass(frozen=True)
class Row:
    """The images of one true class, by predicted class."""

    true: int
    support: int
    cells: list[Cell]


@dataclass(frozen=True)
class Confusion:
    """The matrix, or the worst pairs if there are too many classes.

    Attributes:
        sentence: The worst pair in words.
        classes: Name of each class.
        rows: The matrix; empty with more than `MATRIX_LIMIT` classes.
        pairs: The worst pairs, worst first; empty if there is a matrix.
        largest: The largest error, as a share of its row.
        picture: The matrix as a picture; `None` if it is a table, or without errors.
        pair_count: Number of confused pairs.
    """

    sentence: str
    classes: list[str]
    rows: list[Row]
    pairs: list[ConfusedPair]
    largest: float
    picture: Markup | None
    pair_count: int


def build(run: Run) -> Confusion:
    """Builds the confusion matrix."""
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
        picture=None if fits or not pairs else matrix_picture(pairs, diagnosis.dataset.classes),
        pair_count=len(pairs),
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
    wrong = diagnosis.misclassified.count
    if not wrong:
        return "No image is misclassified."
    worst = worst_pair(diagnosis)
    if worst is None:
        images = f"{formats.plural(wrong, 'image')} {'is' if wrong == 1 else 'are'}"
        return f"{images} misclassified; no pair of classes has {FEWEST_IN_PAIR} or more of them."
    true, predicted = (formats.short(diagnosis.dataset.classes[index]) for index in (worst.true, worst.predicted))
    support = formats.count(sum(diagnosis.confusion[worst.true]))
    return (
        f"The most confused pair: {formats.count(worst.count)} of {support} {true} images "
        f"({formats.percent(worst.share)}) are predicted as {predicted}."
    )
