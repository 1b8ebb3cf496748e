"""Which class is taken for which."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.records import Diagnosis, Run

MATRIX_LIMIT = 40
"""Most classes that a matrix shows; beyond, it would be all zeros and only the worst pairs are listed."""
_PAIRS_LISTED = 50


@dataclass(frozen=True)
class Cell:
    """One field of the matrix; `heat` is its share of the row, 1 for the largest error of all, `None` when right."""

    predicted: int
    count: int
    share: float
    heat: float | None


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
        pairs: True class and its cell, worst first; empty where there is a matrix.
        largest: The largest error as a share of its row.
    """

    sentence: str
    classes: list[str]
    rows: list[Row]
    pairs: list[tuple[int, Cell]]
    largest: float


def build(run: Run) -> Confusion:
    """Lays out the confusion matrix."""
    diagnosis = run.diagnosis
    matrix = diagnosis.confusion
    largest = max((share for _, _, share in _errors(matrix)), default=0.0)
    rows = [_row(true, counts, largest) for true, counts in enumerate(matrix)]
    fits = len(matrix) <= MATRIX_LIMIT
    wrong = [(row.true, cell) for row in rows for cell in row.cells if cell.heat is not None and cell.count]
    wrong.sort(key=lambda pair: -pair[1].count)
    return Confusion(
        sentence=_sentence(diagnosis),
        classes=diagnosis.dataset.classes,
        rows=rows if fits else [],
        pairs=[] if fits else wrong[:_PAIRS_LISTED],
        largest=largest,
    )


def _errors(matrix: list[list[int]]) -> list[tuple[int, int, float]]:
    return [
        (true, predicted, count / sum(counts))
        for true, counts in enumerate(matrix)
        for predicted, count in enumerate(counts)
        if predicted != true and count
    ]


def _row(true: int, counts: list[int], largest: float) -> Row:
    support = sum(counts)
    cells = []
    for predicted, count in enumerate(counts):
        share = count / support if support else 0.0
        heat = None if predicted == true else share / (largest or 1.0)
        cells.append(Cell(predicted, count, share, heat))
    return Row(true, support, cells)


def _sentence(diagnosis: Diagnosis) -> str:
    errors = _errors(diagnosis.confusion)
    if not errors:
        return "No class is taken for another."
    true, predicted, share = max(errors, key=lambda error: (error[2], -error[0], -error[1]))
    names = diagnosis.dataset.classes
    count, support = diagnosis.confusion[true][predicted], sum(diagnosis.confusion[true])
    return (
        f"The worst: {formats.count(count)} of {formats.count(support)} {formats.short(names[true])} images, "
        f"{formats.percent(share)}, taken for {formats.short(names[predicted])}."
    )
