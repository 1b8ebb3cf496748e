"""The section on the comparison with the baseline: which images were fixed, and which were broken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from math import ceil, floor

from lrdiag import formats
from lrdiag.record.facts import Comparison, Diagnosis, Mistake, Run, Score
from lrdiag.record.pictures import SheetName
from lrdiag.report.pictures.tiles import Layer, layer, layer_over, places

PICTURES: tuple[SheetName, ...] = ("mistakes", "mistakes-predicted", "fixed", "fixed-predicted")

SHOWN = 200
"""Most pictures in a gallery."""
IN_SIGHT = 10
"""Most pictures that are shown before the reader expands the gallery."""
CLASSES_LISTED = 40
"""Most classes that are listed; with more, those that changed most."""


@dataclass(frozen=True)
class ClassRow:
    """Recall of one class in the baseline and in this run, and how many of its images were fixed and broken."""

    name: str
    before: float | None
    now: float | None
    change: float | None
    fixed: int
    broken: int


@dataclass(frozen=True)
class Tile:
    """One fixed or broken image, its true and predicted class, and the position of its pictures in their sheets."""

    mistake: Mistake
    true: str
    predicted: str
    x: int
    y: int


@dataclass(frozen=True)
class Gallery:
    """Fixed or broken images, highest loss first.

    Attributes:
        count: Number of images.
        tiles: Those that have a picture, at most `SHOWN`.
        images: The sheet of the images, or `None`.
        heatmaps: The sheet of their heatmaps, or `None`.
    """

    count: int
    tiles: list[Tile]
    images: Layer | None
    heatmaps: Layer | None


@dataclass(frozen=True)
class Beside:
    """The comparison in words, as tables and as galleries.

    Attributes:
        sentence: The conclusion: better, worse, or no detectable difference.
        evidence: How many images were fixed and broken, and the result of the test.
        base: Model of the baseline.
        base_commit: Its commit, or `None`.
        classes: The classes, largest loss of recall first.
        classes_left_out: Number of classes that are not listed because they changed less.
        changes: Settings that differ: name, value in the baseline, value in this run.
        new_findings: Codes of errors and warnings that the baseline does not have.
        gone_findings: Codes of errors and warnings that only the baseline has.
        broken: Images that only the baseline classifies correctly.
        fixed: Images that only this run classifies correctly.
        axis: Lower and upper end of the line that shows recall.
        in_sight: Number of pictures that are shown before the reader expands the gallery.
    """

    sentence: str
    evidence: str
    base: str
    base_commit: str | None
    classes: list[ClassRow]
    classes_left_out: int
    changes: list[tuple[str, str, str]]
    new_findings: list[str]
    gone_findings: list[str]
    broken: Gallery
    fixed: Gallery
    axis: tuple[float, float]
    in_sight: int = IN_SIGHT

    def at(self, recall: float) -> str:
        """Position of a recall on the line, which runs from 4 to 116."""
        low, high = self.axis
        return f"{4 + 112 * (recall - low) / (high - low):.4g}"


def build(run: Run) -> Beside | None:
    """Describes the comparison; `None` if the run was not compared."""
    diagnosis, comparison = run.diagnosis, run.diagnosis.comparison
    if comparison is None:
        return None
    rows = class_rows(diagnosis, comparison)
    listed = most_changed(rows, CLASSES_LISTED)
    return Beside(
        sentence=sentence(comparison, diagnosis.test.accuracy),
        evidence=evidence(comparison, diagnosis.test.size),
        base=formats.short(comparison.base_model),
        base_commit=comparison.base_commit,
        classes=listed,
        classes_left_out=len(rows) - len(listed),
        changes=changes(comparison),
        new_findings=comparison.new_findings,
        gone_findings=comparison.gone_findings,
        broken=_broken(run, comparison),
        fixed=_fixed(run, comparison),
        axis=_axis(listed),
    )


def headline(comparison: Comparison) -> str:
    """The conclusion, as a part of the headline."""
    if comparison.conclusion == "no detectable difference":
        return "no detectable difference from the baseline"
    return f"{_amount(comparison)} points {comparison.conclusion} than the baseline"


def sentence(comparison: Comparison, accuracy: float) -> str:
    """The conclusion in one sentence, with the figures."""
    before, now = formats.percent(comparison.base.accuracy), formats.percent(accuracy)
    figures = (
        f"accuracy is {now} and was {before}; the 95\u00a0% interval of the difference is "
        f"{interval_text(comparison)} points."
    )
    if comparison.conclusion == "no detectable difference":
        return f"No detectable difference from the baseline: {figures}"
    return f"{comparison.conclusion.capitalize()} than the baseline by {_amount(comparison)} points: {figures}"


def _amount(comparison: Comparison) -> str:
    return formats.points(abs(comparison.difference), digits=2).lstrip("+")


def evidence(comparison: Comparison, size: int) -> str:
    """How many images were fixed and broken, and the result of the test."""
    fixed, broken = comparison.all_fixed, comparison.all_broken
    if not fixed and not broken:
        return f"None of {formats.plural(size, 'test image')} was fixed or broken."
    probability = formats.probability(comparison.p_value)
    return (
        f"Of {formats.plural(size, 'test image')}, {formats.count(fixed)} {'was' if fixed == 1 else 'were'} fixed and "
        f"{formats.count(broken)} broken (McNemar's mid-p test: p\u00a0=\u00a0{probability})."
    )


def interval_text(comparison: Comparison) -> str:
    """Interval of the difference in points, without a unit."""
    return f"{formats.points(comparison.difference_low)} to {formats.points(comparison.difference_high)}"


def base_loss(comparison: Comparison, now: Score) -> str:
    """The test loss of the baseline; left out if the two runs give different losses, such as with label smoothing."""
    base = comparison.base
    return formats.loss(base.loss) if base.loss_name == now.loss_name is not None else formats.MISSING


def class_rows(diagnosis: Diagnosis, comparison: Comparison) -> list[ClassRow]:
    """Every class, largest loss of recall first; classes without a test image come last."""
    # for runs of older versions, which list them all
    fixed = Counter(mistake.true for mistake in comparison.fixed)
    broken = Counter(diagnosis.misclassified.items[place].true for place in comparison.broken)
    rows = [
        ClassRow(
            name=diagnosis.dataset.classes[each.index],
            before=each.base,
            now=each.head,
            change=None if each.base is None or each.head is None else each.head - each.base,
            fixed=fixed[each.index] if each.fixed is None else each.fixed,
            broken=broken[each.index] if each.broken is None else each.broken,
        )
        for each in comparison.classes
    ]
    return sorted(rows, key=lambda row: (row.change is None, row.change))


def most_changed(rows: list[ClassRow], limit: int) -> list[ClassRow]:
    """At most `limit` rows, those that changed most, in their order."""
    kept = sorted(rows, key=lambda row: -abs(row.change or 0.0))[:limit]
    return [row for row in rows if row in kept]


def _axis(rows: list[ClassRow]) -> tuple[float, float]:
    """The smallest range of whole tens of percent that contains every recall."""
    recalls = [recall for row in rows for recall in (row.before, row.now) if recall is not None] or [0.0]
    low, high = floor(10 * min(recalls)) / 10, ceil(10 * max(recalls)) / 10
    return (low, high) if low < high else (0.0, 1.0)


def changes(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Settings that differ: name, value in the baseline and value in this run, as text."""
    return [
        (each.name.replace("_", " "), formats.setting(each.base), formats.setting(each.head))
        for each in comparison.changes
    ]


def _broken(run: Run, comparison: Comparison) -> Gallery:
    broken, items = set(comparison.broken), run.diagnosis.misclassified.items
    mistakes = {place: items[place] for place in broken}
    return _gallery(run, comparison.all_broken, mistakes, "mistakes", "mistakes-predicted")


def _fixed(run: Run, comparison: Comparison) -> Gallery:
    return _gallery(run, comparison.all_fixed, dict(enumerate(comparison.fixed)), "fixed", "fixed-predicted")


def _gallery(run: Run, count: int, mistakes: dict[int, Mistake], images: SheetName, heatmaps: SheetName) -> Gallery:
    """The gallery of some of the entries that a sheet shows, by their index."""
    sheet = places(run.diagnosis, run.pictures, images, heatmaps)
    shown = sheet.shown if sheet else []
    cells = [(cell, mistakes[entry]) for cell, entry in enumerate(shown) if entry in mistakes]
    if sheet is None or not cells:
        return Gallery(count, [], None, None)
    classes = run.diagnosis.dataset.classes
    tiles = [
        Tile(
            mistake,
            formats.short(classes[mistake.true]),
            formats.short(classes[mistake.predicted]),
            *sheet.place(cell),
        )
        for cell, mistake in islice(cells, SHOWN)
    ]
    return Gallery(count, tiles, layer(run.pictures, sheet), layer_over(run.pictures, heatmaps, sheet))
