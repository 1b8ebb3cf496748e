"""How well each class is known, and where the network looks for it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from lrdiag import formats
from lrdiag.errors import RunFolderError
from lrdiag.record.facts import Averages, ClassFacts, Run
from lrdiag.record.pictures import Sheet, Sheets
from lrdiag.report.pictures.tiles import Layer, layer

_ALL = 60
"""Most classes that are all shown; beyond, only the ends of the ranking by recall are."""
_WORST, _BEST = 40, 20
_SIDE = 64
"""Pixels that the longer side of a mean map takes."""


@dataclass(frozen=True)
class Bar:
    """Recall and its 95 % interval, in percent."""

    recall: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassRow:
    """One class.

    Attributes:
        index: Its place among the classes.
        facts: Its figures.
        right: How many of its images are recognised.
        mistakes: How many are not.
        rival: What it is most often taken for, and how often, or `None`.
        bar: Its recall to be drawn, or `None` where it has no test image.
    """

    index: int
    facts: ClassFacts
    right: int
    mistakes: int
    rival: tuple[int, int] | None
    bar: Bar | None


@dataclass(frozen=True)
class MeanMaps:
    """The mean maps over some images, as places in the sheet of means.

    Attributes:
        name: What they show.
        right: How many recognised images the first is the mean of.
        wrong: How many misclassified ones the second.
        right_place: Column and row of the first.
        wrong_place: Column and row of the second.
    """

    name: str
    right: int
    wrong: int
    right_place: tuple[int, int]
    wrong_place: tuple[int, int]


@dataclass(frozen=True)
class Classes:
    """Precision, recall and F1 of each class, and its mean maps.

    Attributes:
        sentence: The best and the worst.
        left_out: Which classes are not shown, or `None`.
        names: The name of each class.
        rows: The classes that are shown.
        averages: The means over the classes, each counting alike, and as often as it has test images.
        means: Those over all classes, then those of each class that is shown; empty where there are none.
        sheet: Where the means lie, or `None`.
    """

    sentence: str
    left_out: str | None
    names: list[str]
    rows: list[ClassRow]
    averages: list[tuple[str, Averages]]
    means: list[MeanMaps]
    sheet: Layer | None


def build(run: Run) -> Classes:
    """Puts each class beside what it is taken for.

    Raises:
        RunFolderError: If there is not one mean map for each class and outcome.
    """
    diagnosis = run.diagnosis
    rows = [
        _row(index, facts, counts)
        for index, (facts, counts) in enumerate(zip(diagnosis.per_class, diagnosis.confusion, strict=True))
    ]
    shown = _worst_and_best(rows) if len(rows) > _ALL else rows
    means = diagnosis.sheets.heatmaps.means if diagnosis.sheets.heatmaps else None
    return Classes(
        sentence=_sentence(diagnosis.per_class),
        left_out=_left_out(len(rows)) if len(rows) > _ALL else None,
        names=diagnosis.dataset.classes,
        rows=shown,
        averages=[("Macro average", diagnosis.test.macro), ("Weighted average", diagnosis.test.weighted)],
        means=_mean_maps(rows, shown, means) if means else [],
        sheet=layer(run, means, shown=_shown(diagnosis.sheets)) if means else None,
    )


def _row(index: int, facts: ClassFacts, counts: list[int]) -> ClassRow:
    right = counts[index]
    bar = None
    if facts.recall is not None and facts.recall_low is not None and facts.recall_high is not None:
        bar = Bar(100 * facts.recall, 100 * facts.recall_low, 100 * facts.recall_high)
    return ClassRow(index, facts, right, facts.support - right, _rival(index, counts), bar)


def _rival(index: int, counts: list[int]) -> tuple[int, int] | None:
    others = [(count, -other) for other, count in enumerate(counts) if other != index and count]
    if not others:
        return None
    count, other = max(others)
    return -other, count


def _worst_and_best(rows: list[ClassRow]) -> list[ClassRow]:
    ranked = sorted((row for row in rows if row.bar), key=lambda row: row.facts.recall or 0.0)
    return ranked[:_WORST] + ranked[_WORST:][-_BEST:]


def _left_out(classes: int) -> str:
    return (
        f"Of {formats.count(classes)} classes these are the {_WORST} that are found least often and the {_BEST} that "
        "are found most often; report.json holds all."
    )


def _mean_maps(rows: list[ClassRow], shown: list[ClassRow], means: Sheet) -> list[MeanMaps]:
    """The place of class k is k for the recognised, `classes + k` for the misclassified; all classes follow."""
    classes = len(rows)
    if means.count != 2 * classes + 2:
        raise RunFolderError(
            f"There must be a mean map for each of {classes} classes and for all, right and wrong: {2 * classes + 2}. "
            f"Received: {means.count}. Run `train-and-report` again."
        )

    def maps(name: str, right: int, wrong: int, place: int, wrong_place: int) -> MeanMaps:
        y, x = divmod(place, means.columns)
        wrong_y, wrong_x = divmod(wrong_place, means.columns)
        return MeanMaps(name, right, wrong, (x, y), (wrong_x, wrong_y))

    everything = sum(row.right for row in rows), sum(row.mistakes for row in rows)
    return [
        maps("all classes", *everything, 2 * classes, 2 * classes + 1),
        *(maps(row.facts.name, row.right, row.mistakes, row.index, classes + row.index) for row in shown),
    ]


def _shown(sheets: Sheets) -> Sheet:
    """The size of a mean map on the page: a photograph's shape, smooth at any scale."""
    example = sheets.samples or sheets.photographs
    if example is None:
        raise RunFolderError("Where there are mean maps, there must be photographs. Run `train-and-report` again.")
    zoom = _SIDE / max(example.width, example.height)
    width, height = (max(1, round(zoom * side)) for side in (example.width, example.height))
    return dataclasses.replace(example, width=width, height=height)


def _sentence(per_class: list[ClassFacts]) -> str:
    known = [(facts.recall, facts.name) for facts in per_class if facts.recall is not None]
    if not known:
        return "No class has a test image."
    (high, best), (low, worst) = max(known, key=lambda pair: pair[0]), min(known, key=lambda pair: pair[0])
    if high == low:
        return f"Every class is found equally often, {formats.percent(high)} of its images."
    return (
        f"Found most often: {formats.short(best)}, {formats.percent(high)} of its images; "
        f"least often: {formats.short(worst)}, {formats.percent(low)}."
    )
