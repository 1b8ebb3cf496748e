"""Precision, recall and mean heatmaps of each class."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.facts import Averages, ClassFacts, Run
from lrdiag.record.pictures import Sheet, SheetName
from lrdiag.report.pictures.tiles import Layer, layer, places

PICTURES: tuple[SheetName, ...] = ("class-means", "mistakes", "samples")
_IN_ORDER = 60
"""Up to this number, classes are in their own order. More are in the order of their recall, lowest first."""
_SIDE = 48
"""Pixels of the longer side of a mean heatmap on the page."""


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
        index: Index of the class.
        facts: Its figures.
        right: Number of its images that are classified correctly.
        mistakes: Number of its images that are misclassified.
        rival: The class that it is most often confused with, and how often, or `None`.
        bar: Its recall as a bar, or `None` if it has no test image.
    """

    index: int
    facts: ClassFacts
    right: int
    mistakes: int
    rival: tuple[int, int] | None
    bar: Bar | None


@dataclass(frozen=True)
class MeanMaps:
    """Two mean heatmaps, as places in their sheet.

    Attributes:
        name: Name of the class.
        right: Number of correctly classified images in the first mean.
        wrong: Number of misclassified images in the second.
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
    """Precision, recall, F1 and mean heatmaps of each class.

    Attributes:
        sentence: Highest and lowest recall.
        names: Name of each class.
        rows: The classes.
        ranked: Whether they are in the order of their recall.
        averages: Macro and weighted averages.
        means: Mean heatmaps over all classes, then of each class; empty if there are none.
        sheet: The sheet of the mean heatmaps, or `None`.
    """

    sentence: str
    names: list[str]
    rows: list[ClassRow]
    ranked: bool
    averages: list[tuple[str, Averages]]
    means: list[MeanMaps]
    sheet: Layer | None


def build(run: Run) -> Classes:
    """Computes the content of the section."""
    diagnosis = run.diagnosis
    rows = [
        _row(index, facts, counts)
        for index, (facts, counts) in enumerate(zip(diagnosis.per_class, diagnosis.confusion, strict=True))
    ]
    ranked = len(rows) > _IN_ORDER
    shown = sorted(rows, key=_by_recall) if ranked else rows
    means = run.pictures.sheets.get("class-means")
    return Classes(
        sentence=_sentence(diagnosis.per_class),
        names=diagnosis.dataset.classes,
        rows=shown,
        ranked=ranked,
        averages=[("Macro average", diagnosis.test.macro), ("Weighted average", diagnosis.test.weighted)],
        means=_mean_maps(rows, shown, means) if means else [],
        sheet=layer(run.pictures, means, over=_size(run)) if means else None,
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


def _by_recall(row: ClassRow) -> tuple[bool, float]:
    """Lowest recall first; classes without a test image last."""
    return row.bar is None, row.facts.recall or 0.0


def _mean_maps(rows: list[ClassRow], shown: list[ClassRow], means: Sheet) -> list[MeanMaps]:
    """The places of the mean heatmaps: see `SheetName`."""
    classes = len(rows)

    def maps(name: str, right: int, wrong: int, first: int, second: int) -> MeanMaps:
        return MeanMaps(name, right, wrong, means.place(first), means.place(second))

    everything = sum(row.right for row in rows), sum(row.mistakes for row in rows)
    return [
        maps("all classes", *everything, 2 * classes, 2 * classes + 1),
        *(maps(row.facts.name, row.right, row.mistakes, row.index, classes + row.index) for row in shown),
    ]


def _size(run: Run) -> Sheet:
    """A sheet with pictures of the size of a mean heatmap: the shape of the images, scaled to 48 pixels."""
    images = run.pictures.sheets.get("samples") or places(run.diagnosis, run.pictures, "mistakes", "class-means")
    if images is None:
        raise KeyError("class-means")
    zoom = _SIDE / max(images.width, images.height)
    width, height = (max(1, round(zoom * side)) for side in (images.width, images.height))
    return dataclasses.replace(images, width=width, height=height)


def _sentence(per_class: list[ClassFacts]) -> str:
    known = [(facts.recall, facts.name) for facts in per_class if facts.recall is not None]
    if not known:
        return "No class has a test image."
    (high, best), (low, worst) = max(known, key=lambda pair: pair[0]), min(known, key=lambda pair: pair[0])
    if high == low:
        return f"Every class has the same recall, {formats.percent(high)}."
    return (
        f"Highest recall: {formats.short(best)}, {formats.percent(high)}; "
        f"lowest: {formats.short(worst)}, {formats.percent(low)}."
    )
