"""The confusion matrix of many classes as one picture that stays sharp when it is enlarged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from math import ceil

from markupsafe import Markup

from lrdiag import formats
from lrdiag.record.facts import ConfusedPair

_CELL = 10
_NAMED = 150
"""Up to this number of classes, every row and column has its name. Beyond it, some have their number."""
_NAME_LIMIT = 24
_NAMES_WIDTH = 120
_LEVELS = 10
_SMALLEST_MARK = 1 / 250
"""Height of the mark of an error at least, as a share of the picture: with 1,000 classes, a cell would be invisible."""


def matrix_picture(pairs: list[ConfusedPair], classes: list[str]) -> Markup:
    """Draws the errors of a confusion matrix, with the colours of the matrix as a table; empty cells are not drawn.

    Args:
        pairs: The confused pairs, at least one.
        classes: Name of each class.
    """
    size = _CELL * len(classes)
    margin = _NAMES_WIDTH if len(classes) <= _NAMED else round(0.06 * size)
    label = f"Confusion matrix of {formats.count(len(classes))} classes; rows are true, columns predicted classes"
    view = f"{-margin} {-margin} {size + margin + _CELL} {size + margin + _CELL}"
    ground = Markup('<rect width="{0}" height="{0}"/><path class="right" d="M0 0L{0} {0}"/>').format(size)
    drawn = Markup().join([ground, *_errors(pairs), *_names(classes, size)])
    mark = max(_CELL, round(_SMALLEST_MARK * size))
    return Markup(
        '<svg class="matrix" viewBox="{}" stroke-width="{}" stroke-linecap="{}" role="img" aria-label="{}">{}</svg>'
    ).format(view, mark, "butt" if mark == _CELL else "round", label, drawn)


def _errors(pairs: list[ConfusedPair]) -> Iterator[Markup]:
    """One path for each level of colour."""
    cells: dict[int, list[tuple[int, int]]] = defaultdict(list)
    largest = max(pair.share for pair in pairs)
    for pair in sorted(pairs, key=lambda pair: (pair.true, pair.predicted)):
        cells[ceil(_LEVELS * pair.share / largest)].append((pair.predicted, pair.true))
    for level in sorted(cells):
        yield Markup('<path class="p{}" d="{}"/>').format(100 * level // _LEVELS, _path(cells[level]))


def _path(cells: list[tuple[int, int]]) -> str:
    """Short strokes, each as wide as a cell, with relative moves from the end of one to the start of the next."""
    starts = [(_CELL * x, _CELL * y + _CELL // 2) for x, y in cells]
    moves = [(x - before_x - _CELL, y - before_y) for (before_x, before_y), (x, y) in pairwise(starts)]
    first, *rest = [f"M{starts[0][0]} {starts[0][1]}", *(f"m{x} {y}" for x, y in moves)]
    return f"h{_CELL}".join([first, *rest]) + f"h{_CELL}"


def _names(classes: list[str], size: int) -> Iterator[Markup]:
    if len(classes) <= _NAMED:
        shown, font = [(place, formats.short(name, _NAME_LIMIT)) for place, name in enumerate(classes)], 8
    else:
        step = 10 ** (len(str(len(classes) - 1)) - 1)
        shown, font = [(place, formats.count(place)) for place in range(0, len(classes), step)], size // 50
    for place, name in shown:
        middle = _CELL * place + _CELL // 2
        row = '<text x="{3}" y="{0}" font-size="{1}" text-anchor="end" dominant-baseline="central">{2}</text>'
        column = (
            '<text transform="translate({0} {3}) rotate(-90)" font-size="{1}" dominant-baseline="central">{2}</text>'
        )
        yield Markup(row + column).format(middle, font, name, -font // 2)
