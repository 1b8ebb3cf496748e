"""Every image that was taken for something else, and where the network looked."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from lrdiag import formats
from lrdiag.errors import RunFolderError
from lrdiag.record.facts import HeatmapFacts, HeatmapTrust, IndependentCheck, Mistake, Run
from lrdiag.record.pictures import HeatmapSheets, Sheet
from lrdiag.report.pictures.tiles import Layer, layer, places_shown

_OPEN_TILES = 60
"""Groups stand open until so many tiles are in sight; at least one does."""
_PAIRS_IN_SIGHT = 100
"""Most groups that stand in one list; the rarer are folded away together."""


@dataclass(frozen=True)
class Guess:
    """One of the classes that the network held most probable; `right` where it is the one that the image shows."""

    name: str
    probability: float | None
    right: bool

    @property
    def share(self) -> int:
        """The probability in whole percent."""
        return round(100 * (self.probability or 0.0))


@dataclass(frozen=True)
class Tile:
    """One mistake, the place of its pictures in their sheets, and what the network held most probable."""

    mistake: Mistake
    x: int
    y: int
    guesses: list[Guess]


@dataclass(frozen=True)
class Pair:
    """The images of one class that were taken for one other, the highest loss first.

    Attributes:
        true: What they show.
        predicted: What they were taken for.
        anchor: What links to the group lead to.
        support: How many test images show `true`.
        count: How many of them were taken for `predicted`.
        opened: Whether the group stands open.
        tiles: Those of them that have a picture.
    """

    true: str
    predicted: str
    anchor: str
    support: int
    count: int
    opened: bool
    tiles: list[Tile]


@dataclass(frozen=True)
class Maps:
    """The sheets of maps: what speaks for the predicted class, for the true class, and the difference."""

    predicted: Layer
    true: Layer
    difference: Layer


@dataclass(frozen=True)
class Misclassified:
    """The mistakes by confused pair, worst pair first.

    Attributes:
        sentence: How many there are.
        left_out: Which of them have no picture, or `None`.
        pairs: The groups.
        rarer: More of them, too many to stand in one list.
        photographs: The sheet of photographs; `None` without mistakes.
        maps: The sheets of maps; `None` where `heatmap_facts` says why.
        heatmap_facts: How the maps were made.
        trust: How far they can be trusted, or `None`.
    """

    sentence: str
    left_out: str | None
    pairs: list[Pair]
    rarer: list[Pair]
    photographs: Layer | None
    maps: Maps | None
    heatmap_facts: HeatmapFacts
    trust: str | None

    @property
    def anchors(self) -> set[str]:
        """Where links to groups can lead."""
        return {pair.anchor for pair in self.pairs + self.rarer}


def build(run: Run) -> Misclassified:
    """Groups the mistakes and finds their pictures."""
    diagnosis = run.diagnosis
    photographs, maps = diagnosis.sheets.photographs, diagnosis.sheets.heatmaps
    pairs = _pairs(run, photographs) if photographs else []
    return Misclassified(
        sentence=_sentence(diagnosis.misclassified.count, len(diagnosis.confused_pairs)),
        left_out=_left_out(diagnosis.misclassified.count, sum(len(pair.tiles) for pair in pairs)),
        pairs=pairs[:_PAIRS_IN_SIGHT],
        rarer=pairs[_PAIRS_IN_SIGHT:],
        photographs=layer(run, photographs) if photographs else None,
        maps=_maps(run, photographs, maps) if photographs and maps else None,
        heatmap_facts=diagnosis.heatmaps,
        trust=_trust(diagnosis.heatmaps),
    )


def _maps(run: Run, photographs: Sheet, maps: HeatmapSheets) -> Maps:
    sheets = maps.predicted, maps.true, maps.difference
    for sheet in sheets:
        if (sheet.columns, sheet.count) != (photographs.columns, photographs.count):
            raise RunFolderError(
                "Photographs and heatmaps must lie in their sheets in the same places. "
                f"Received: {photographs.count} in {photographs.columns} columns and "
                f"{sheet.count} in {sheet.columns}. Run `train-and-report` again."
            )
    return Maps(*(layer(run, sheet, shown=photographs) for sheet in sheets))


def _pairs(run: Run, photographs: Sheet) -> list[Pair]:
    diagnosis, names = run.diagnosis, [formats.short(name) for name in run.diagnosis.dataset.classes]
    items, shown = diagnosis.misclassified.items, places_shown(diagnosis.sheets)
    if len(shown) != photographs.count or any(place >= len(items) for place in shown):
        raise RunFolderError(
            "There must be a photograph for each mistake that is shown. "
            f"Received: {len(shown)} of {len(items)} mistakes and {photographs.count} photographs. "
            "Run `train-and-report` again."
        )
    groups: dict[tuple[int, int], list[Tile]] = defaultdict(list)
    for cell, place in enumerate(shown):
        y, x = divmod(cell, photographs.columns)
        mistake = items[place]
        groups[mistake.true, mistake.predicted].append(Tile(mistake, x, y, _guesses(mistake, names)))
    confusion, pairs, seen = diagnosis.confusion, [], 0
    for true, predicted in sorted(groups, key=lambda pair: (-confusion[pair[0]][pair[1]], pair)):
        tiles = groups[true, predicted]
        pairs.append(
            Pair(
                true=names[true],
                predicted=names[predicted],
                anchor=f"pair-{true}-{predicted}",
                support=sum(confusion[true]),
                count=confusion[true][predicted],
                opened=seen == 0 or seen + len(tiles) <= _OPEN_TILES,
                tiles=tiles,
            )
        )
        seen += len(tiles)
    return pairs


def _guesses(mistake: Mistake, names: list[str]) -> list[Guess]:
    top = zip(mistake.top_classes, mistake.top_probabilities, strict=True)
    return [Guess(names[index], probability, index == mistake.true) for index, probability in top]


def _sentence(count: int, pairs: int) -> str:
    if not count:
        return "There is no mistake to show: every test image was recognised."
    if count == 1:
        return "One test image was taken for something else."
    return (
        f"{formats.count(count)} mistakes, in {formats.plural(pairs, 'confused pair')}, the largest first; "
        "inside a pair the highest loss first."
    )


def _left_out(count: int, shown: int) -> str | None:
    if shown == count:
        return None
    return (
        f"Too many to show them all: these are {formats.count(shown)} of them, first the highest losses of each "
        "confused pair, the largest pairs first, then the highest losses of all. predictions.csv lists all "
        f"{formats.count(count)}."
    )


def _trust(heatmaps: HeatmapFacts) -> str | None:
    if heatmaps.trust is None:
        return None
    sentences = [trust_sentence(heatmaps.trust)]
    if heatmaps.independent:
        sentences.append(independent_sentence(heatmaps.independent))
    return " ".join(sentences)


def independent_sentence(check: IndependentCheck) -> str:
    """How many maps an independent implementation reproduces."""
    if check.skipped:
        return f"The maps were not compared with an independent implementation (tf-keras-vis): {check.skipped}."
    largest = check.largest_difference or 0.0
    return (
        f"tf-keras-vis, an independent implementation of Grad-CAM, draws the same map for {check.same} of "
        f"{formats.plural(check.images, 'mistake')} (largest difference "
        f"{'below 0.001' if largest < 0.001 else f'{largest:.3f}'} after scaling both maps to 0–1; up to 0.01 counts "
        "as the same)."
    )


def trust_sentence(trust: HeatmapTrust) -> str:
    """How far the maps can be trusted, in words and numbers."""
    informed, chance = trust.deletion_auc, trust.random_deletion_auc
    result = (
        "lowers the probability of that class faster than taking away patches at random does"
        if informed < chance
        else "lowers the probability of that class no faster than taking away patches at random does: do not build on "
        "these maps"
    )
    return (
        f"Measured on {formats.plural(trust.images, 'mistake')}. {formats.percent(trust.empty_share)} of the maps are "
        "empty: nothing spoke for the predicted class. Taking away from a photograph what its map marks, the hottest "
        f"first, {result} (area under the curve {informed:.3f} against {chance:.3f}; the lower, the better the map)."
    )
