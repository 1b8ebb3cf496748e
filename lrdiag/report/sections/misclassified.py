"""Every misclassified image, with its heatmaps."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.facts import HeatmapFacts, HeatmapTrust, IndependentCheck, Mistake, Run
from lrdiag.record.pictures import Pictures, Sheet, SheetName
from lrdiag.report.pictures.tiles import Layer, layer, layer_over

PICTURES: tuple[SheetName, ...] = ("mistakes", "mistakes-predicted", "mistakes-true", "mistakes-difference")
_OPEN_TILES = 60
"""Groups are open until they have this number of tiles together; the first one always is."""
_PAIRS_IN_SIGHT = 100
"""Most groups that are shown at once; the rarer ones are in one folded list."""
_DELETION = {
    "better": "Removing the regions with the highest values first lowers the probability of that class faster than "
    "removing random regions",
    "worse": "Removing the regions with the highest values first lowers the probability of that class more slowly than "
    "removing random regions, so do not rely on these heatmaps",
    "cannot be told": "Whether removing the regions with the highest values first lowers the probability of that class "
    "faster than removing random regions cannot be told from these images",
    None: "Removing the regions with the highest values first was compared with removing random regions",
}


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
    """One mistake, the place of its pictures on their sheets, and its most probable classes."""

    mistake: Mistake
    x: int
    y: int
    guesses: list[Guess]


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
class Maps:
    """The sheets of heatmaps: for the predicted class, for the true class, and the difference."""

    predicted: Layer
    true: Layer
    difference: Layer


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
    """

    sentence: str
    left_out: str | None
    pairs: list[Pair]
    rarer: list[Pair]
    images: Layer | None
    maps: Maps | None
    heatmap_facts: HeatmapFacts
    has_loss: bool
    trust: str | None

    @property
    def anchors(self) -> set[str]:
        """Anchors of all groups."""
        return {pair.anchor for pair in self.pairs + self.rarer}


def build(run: Run) -> Misclassified:
    """Computes the content of the section: groups the mistakes and finds their pictures."""
    diagnosis, images = run.diagnosis, run.pictures.sheets.get("mistakes")
    pairs = _pairs(run, images) if images else []
    return Misclassified(
        sentence=_sentence(diagnosis.misclassified.count, len(diagnosis.confused_pairs)),
        left_out=_left_out(diagnosis.misclassified.count, sum(len(pair.tiles) for pair in pairs)),
        pairs=pairs[:_PAIRS_IN_SIGHT],
        rarer=pairs[_PAIRS_IN_SIGHT:],
        images=layer(run.pictures, images) if images else None,
        maps=_maps(run.pictures, images) if images else None,
        heatmap_facts=diagnosis.heatmaps,
        has_loss=diagnosis.test.loss_name is not None,
        trust=_trust(diagnosis.heatmaps),
    )


def _maps(pictures: Pictures, images: Sheet) -> Maps | None:
    predicted = layer_over(pictures, "mistakes-predicted", images)
    true = layer_over(pictures, "mistakes-true", images)
    difference = layer_over(pictures, "mistakes-difference", images)
    return Maps(predicted, true, difference) if predicted and true and difference else None


def _pairs(run: Run, images: Sheet) -> list[Pair]:
    diagnosis, names = run.diagnosis, [formats.short(name) for name in run.diagnosis.dataset.classes]
    items = diagnosis.misclassified.items
    groups: dict[tuple[int, int], list[Tile]] = defaultdict(list)
    for cell, item in enumerate(images.shown):
        mistake = items[item]
        tile = Tile(mistake, *images.place(cell), _guesses(mistake, names))
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


def _guesses(mistake: Mistake, names: list[str]) -> list[Guess]:
    top = zip(mistake.top_classes, mistake.top_probabilities, strict=True)
    return [Guess(names[index], probability, index == mistake.true) for index, probability in top]


def _sentence(count: int, pairs: int) -> str:
    if not count:
        return "Every test image is classified correctly."
    if count == 1:
        return "One test image is misclassified."
    return (
        f"{formats.count(count)} mistakes in {formats.plural(pairs, 'confused pair')}, largest pair first; "
        "within a pair, highest loss first."
    )


def _left_out(count: int, shown: int) -> str | None:
    if shown == count:
        return None
    return (
        f"The page shows {formats.count(shown)} of the {formats.count(count)} mistakes: the highest losses of each "
        "confused pair, largest pairs first, then the highest losses of all. predictions.csv lists every prediction."
    )


def _trust(heatmaps: HeatmapFacts) -> str | None:
    measured = trust_sentence(heatmaps.trust) if heatmaps.trust else None
    if heatmaps.not_measured:
        measured = f"How far the heatmaps can be trusted was not measured: {heatmaps.not_measured}."
    compared = independent_sentence(heatmaps.independent) if heatmaps.independent else None
    return " ".join(filter(None, (measured, compared))) or None


def independent_sentence(check: IndependentCheck) -> str:
    """How many heatmaps an independent implementation reproduces."""
    if check.skipped:
        return f"The heatmaps were not compared with an independent implementation (tf-keras-vis): {check.skipped}."
    largest = check.largest_difference or 0.0
    return (
        f"tf-keras-vis, an independent implementation of Grad-CAM, draws the same heatmap for {check.same} of "
        f"{formats.plural(check.images, 'mistake')} (largest difference "
        f"{'below 0.001' if largest < 0.001 else f'{largest:.3f}'} after scaling both to 0–1; up to 0.01 counts as "
        "the same)."
    )


def trust_sentence(trust: HeatmapTrust) -> str:
    """How far the heatmaps can be trusted, in words and numbers."""
    fewer = f", of {formats.count(trust.of)} because more would take longer than the evaluation" if trust.of else ""
    areas = f"area under the deletion curve {trust.deletion_auc:.3f}, random {trust.random_deletion_auc:.3f}"
    if trust.advantage_low is not None and trust.advantage_high is not None:
        areas += f", 95\u00a0% interval of the difference {trust.advantage_low:.3f} to {trust.advantage_high:.3f}"
    return (
        f"Measured on {formats.plural(trust.images, 'mistake')}{fewer}. {formats.percent(trust.empty_share)} of the "
        f"heatmaps are empty: no region supported the predicted class. {_DELETION[trust.verdict]} ({areas}; lower is "
        "better)."
    )
