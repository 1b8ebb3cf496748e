"""Every misclassified image, with its heatmaps."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from lrdiag import formats, palette
from lrdiag.record.facts import Diagnosis, HeatmapFacts, Mistake, Run
from lrdiag.record.pictures import Pictures, Sheet, SheetName
from lrdiag.report.pictures.tiles import Layer, layer, layer_over, places
from lrdiag.report.predictions import predictions_file
from lrdiag.report.sections import trust
from lrdiag.report.sections.groups import Group, finding_groups, label_suspects, slice_groups
from lrdiag.report.sections.trust import Trust

PICTURES: tuple[SheetName, ...] = ("mistakes", "mistakes-predicted", "mistakes-true", "mistakes-difference")
_OPEN_TILES = 60
"""Groups are open until they have this number of tiles together; the first one always is."""
_TINY = 1e-45
"""Smallest positive number with 32 bits."""
_PAIRS_IN_SIGHT = 100
"""Most groups that are shown at once; the rarer ones are in one folded list."""


@dataclass(frozen=True)
class Guess:
    """One of the most probable classes; `right` if it is the true class."""

    name: str
    probability: float | None
    right: bool

    @property
    def share(self) -> int:
        """The probability in whole percent."""
        return round(100 * (self.probability or 0.0))


@dataclass(frozen=True)
class Tile:
    """One mistake.

    Attributes:
        mistake: The mistake.
        x: Column of its pictures on their sheets.
        y: Row.
        guesses: Its most probable classes.
        findings: Codes of the findings that name it.
        slices: Numbers of the slices that it belongs to.
        suspected: For a label suspect, the class that it probably belongs to and the probability that its label is
            wrong, in words; empty otherwise.
    """

    mistake: Mistake
    x: int
    y: int
    guesses: list[Guess]
    findings: list[str] = field(default_factory=list)
    slices: list[str] = field(default_factory=list)
    suspected: str = ""


@dataclass(frozen=True)
class Pair:
    """The images of one true class and one predicted class, highest loss first.

    Attributes:
        true: True class.
        predicted: Predicted class.
        anchor: Anchor of links to the group.
        support: Number of test images of the true class.
        count: Number of them that were predicted as `predicted`.
        opened: Whether the group is open.
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
class Stop:
    """A colour of a scale.

    Attributes:
        offset: Its place, in percent of the length.
        colour: Red, green and blue, 0 to 255.
        opacity: 0 to 1.
    """

    offset: int
    colour: tuple[int, int, int]
    opacity: float


@dataclass(frozen=True)
class Maps:
    """The sheets of heatmaps: for the predicted class, for the true class, and the difference; and their colours."""

    predicted: Layer
    true: Layer
    difference: Layer
    heat: list[Stop]
    signed: list[Stop]


@dataclass(frozen=True)
class Filters:
    """What the mistakes can be filtered by, besides their classes. Only what the run has is offered.

    Attributes:
        confidence: Whether confidences are known.
        files: Whether files are known.
        findings: The findings that name some of the images.
        slices: The slices with some of the images.
        suspects: Number of label suspects among the images.
    """

    confidence: bool
    files: bool
    findings: list[Group]
    slices: list[Group]
    suspects: int

    @property
    def named(self) -> dict[str, int]:
        """How many of the images each finding names, by its code."""
        return {group.key: len(group.images) for group in self.findings}


@dataclass(frozen=True)
class Misclassified:
    """The mistakes by confused pair, largest pair first.

    Attributes:
        sentence: Number of mistakes.
        left_out: Which of them have no picture, or `None`.
        pairs: The groups.
        rarer: Further groups, if there are too many for one list.
        images: The sheet of images; `None` without mistakes.
        maps: The sheets of heatmaps; `None` if `heatmap_facts` gives the reason.
        heatmap_facts: How the heatmaps were made.
        has_loss: Whether the loss of each image is known.
        trust: How far they can be trusted, or `None`.
        filters: What the images can be filtered by.
    """

    sentence: str
    left_out: str | None
    pairs: list[Pair]
    rarer: list[Pair]
    images: Layer | None
    maps: Maps | None
    heatmap_facts: HeatmapFacts
    has_loss: bool
    trust: Trust | None
    filters: Filters

    @property
    def anchors(self) -> set[str]:
        """Anchors of all groups."""
        return {pair.anchor for pair in self.pairs + self.rarer}


def build(run: Run) -> Misclassified:
    """Computes the content of the section: groups the mistakes and finds their pictures."""
    diagnosis = run.diagnosis
    images = places(diagnosis, run.pictures, "mistakes", "mistakes-predicted")
    items = diagnosis.misclassified.items
    shown = [items[item] for item in images.shown] if images else []
    filters = _filters(diagnosis, shown)
    pairs = _pairs(diagnosis, images, shown, filters) if images else []
    return Misclassified(
        sentence=_sentence(diagnosis.misclassified.count, len(diagnosis.confused_pairs)),
        left_out=_left_out(diagnosis, len(shown)),
        pairs=pairs[:_PAIRS_IN_SIGHT],
        rarer=pairs[_PAIRS_IN_SIGHT:],
        images=layer(run.pictures, images) if images else None,
        maps=_maps(run.pictures, images) if images else None,
        heatmap_facts=diagnosis.heatmaps,
        has_loss=diagnosis.test.loss_name is not None,
        trust=trust.build(diagnosis.heatmaps),
        filters=filters,
    )


def _filters(diagnosis: Diagnosis, shown: list[Mistake]) -> Filters:
    indices = {mistake.index for mistake in shown}
    return Filters(
        confidence=any(mistake.confidence is not None for mistake in shown),
        files=any(mistake.file is not None for mistake in shown),
        findings=finding_groups(diagnosis, indices),
        slices=slice_groups(diagnosis, indices),
        suspects=len(label_suspects(diagnosis, indices)),
    )


def _maps(pictures: Pictures, images: Sheet) -> Maps | None:
    predicted = layer_over(pictures, "mistakes-predicted", images)
    true = layer_over(pictures, "mistakes-true", images)
    difference = layer_over(pictures, "mistakes-difference", images)
    if not (predicted and true and difference):
        return None
    turbo = np.array([list(bytes.fromhex(each[1:])) for each in palette.TURBO_STOPS])
    heat = np.linspace(-1, 1, len(turbo))
    return Maps(predicted, true, difference, _stops(turbo, 0), _stops(palette.difference(heat), -1))


def _stops(colours: np.ndarray, lowest: float) -> list[Stop]:
    """The colours of a heatmap from `lowest` to 1, as a scale."""
    offsets = np.rint(np.linspace(0, 100, len(colours))).astype(int).tolist()
    opacities = np.round(palette.opacity(np.linspace(lowest, 1, len(colours))), 3).tolist()
    return [
        Stop(offset, (red, green, blue), opacity)
        for offset, (red, green, blue), opacity in zip(
            offsets, np.rint(colours).astype(int).tolist(), opacities, strict=True
        )
    ]


def _pairs(diagnosis: Diagnosis, images: Sheet, shown: list[Mistake], filters: Filters) -> list[Pair]:
    names = [formats.short(name) for name in diagnosis.dataset.classes]
    suspects = _suspected(diagnosis, shown, names)
    groups: dict[tuple[int, int], list[Tile]] = defaultdict(list)
    for cell, mistake in enumerate(shown):
        tile = Tile(
            mistake,
            *images.place(cell),
            _guesses(mistake, names),
            [group.key for group in filters.findings if mistake.index in group.images],
            [group.key for group in filters.slices if mistake.index in group.images],
            suspects.get(mistake.index, ""),
        )
        groups[mistake.true, mistake.predicted].append(tile)
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


def _suspected(diagnosis: Diagnosis, shown: list[Mistake], names: list[str]) -> dict[int, str]:
    """The class that each label suspect probably belongs to, and the probability that its label is wrong, in words."""
    suspects = label_suspects(diagnosis, {mistake.index for mistake in shown})
    return {
        index: f"probably {'no class' if each.suggested is None else names[each.suggested]}, "
        f"{formats.percent(each.score)} that the label is wrong"
        for index, each in suspects.items()
    }


def _guesses(mistake: Mistake, names: list[str]) -> list[Guess]:
    top = zip(mistake.top_classes, mistake.top_probabilities, strict=True)
    return [Guess(names[index], _above_zero(probability), index == mistake.true) for index, probability in top]


def _above_zero(probability: float | None) -> float | None:
    """The probability as a softmax means it: one that is too small for a float is shown as the small ones are."""
    return None if probability is None else max(probability, _TINY)


def _sentence(count: int, pairs: int) -> str:
    if not count:
        return "Every test image is classified correctly."
    if count == 1:
        return "One test image is misclassified."
    return (
        f"{formats.count(count)} mistakes in {formats.plural(pairs, 'confused pair')}, largest pair first; "
        "within a pair, highest loss first."
    )


def _left_out(diagnosis: Diagnosis, shown: int) -> str | None:
    mistakes = diagnosis.misclassified
    if shown == mistakes.count:
        return None
    if not shown and "images" in diagnosis.left_out:
        listed = predictions_file(diagnosis)
        return f"The images were left out, and there are no heatmaps. {listed} lists every prediction."
    which = "those with the highest loss"
    if shown < len(mistakes.items):
        which = (
            "the highest losses of each confused pair, largest pairs first, then the highest losses of all"
            if len(mistakes.items) == mistakes.count
            else f"of the {formats.count(len(mistakes.items))} with the highest loss, those that have pictures"
        )
    return (
        f"The page shows {formats.count(shown)} of the {formats.count(mistakes.count)} mistakes: {which}. "
        f"{predictions_file(diagnosis)} lists every prediction."
    )
