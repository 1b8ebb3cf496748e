"""Every image that was taken for something else, and where the network looked."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from lrdiag import formats
from lrdiag.errors import RunFolderError
from lrdiag.records import HeatmapFacts, Mistake, Run, Sheet
from lrdiag.report.tiles import Layer, layer

_OPEN_TILES = 60
"""Groups stand open until so many tiles are in sight; at least one does."""


@dataclass(frozen=True)
class Tile:
    """One mistake and the place of its pictures in their sheets."""

    mistake: Mistake
    x: int
    y: int


@dataclass(frozen=True)
class Pair:
    """All images of one class that were taken for one other, the highest loss first."""

    true: str
    predicted: str
    anchor: str
    support: int
    opened: bool
    tiles: list[Tile]


@dataclass(frozen=True)
class Misclassified:
    """The mistakes by confused pair, worst pair first.

    Attributes:
        sentence: How many there are.
        pairs: The groups.
        photographs: The sheet of photographs; `None` without mistakes.
        heatmaps: The sheet of maps; `None` where `heatmap_facts` says why.
        heatmap_facts: How the maps were made.
    """

    sentence: str
    pairs: list[Pair]
    photographs: Layer | None
    heatmaps: Layer | None
    heatmap_facts: HeatmapFacts


def build(run: Run) -> Misclassified:
    """Groups the mistakes and finds their pictures."""
    diagnosis = run.diagnosis
    photographs = diagnosis.sheets.photographs
    heatmaps = diagnosis.sheets.heatmaps.predicted if diagnosis.sheets.heatmaps else None
    pairs = _pairs(run, photographs) if photographs else []
    if photographs and heatmaps and (heatmaps.columns, heatmaps.count) != (photographs.columns, photographs.count):
        raise RunFolderError(
            "Photographs and heatmaps must lie in their sheets in the same places. "
            f"Received: {photographs.count} in {photographs.columns} columns and "
            f"{heatmaps.count} in {heatmaps.columns}. Run `train-and-report` again."
        )
    return Misclassified(
        sentence=_sentence(diagnosis.misclassified.count, len(pairs)),
        pairs=pairs,
        photographs=layer(run, photographs) if photographs else None,
        heatmaps=layer(run, heatmaps, shown=photographs) if photographs and heatmaps else None,
        heatmap_facts=diagnosis.heatmaps,
    )


def _pairs(run: Run, photographs: Sheet) -> list[Pair]:
    groups: dict[tuple[int, int], list[Tile]] = defaultdict(list)
    for place, mistake in enumerate(run.diagnosis.misclassified.items):
        row, column = divmod(place, photographs.columns)
        groups[mistake.true, mistake.predicted].append(Tile(mistake, x=column, y=row))
    classes, pairs, seen = run.diagnosis.dataset.classes, [], 0
    for (true, predicted), tiles in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        pairs.append(
            Pair(
                true=formats.short(classes[true]),
                predicted=formats.short(classes[predicted]),
                anchor=f"pair-{true}-{predicted}",
                support=sum(run.diagnosis.confusion[true]),
                opened=seen == 0 or seen + len(tiles) <= _OPEN_TILES,
                tiles=tiles,
            )
        )
        seen += len(tiles)
    return pairs


def _sentence(count: int, pairs: int) -> str:
    if not count:
        return "There is no mistake to show: every test image was recognised."
    if count == 1:
        return "One test image was taken for something else."
    return (
        f"All {formats.count(count)} mistakes, in {formats.plural(pairs, 'confused pair')}, the largest first; "
        "inside a pair the highest loss first."
    )
