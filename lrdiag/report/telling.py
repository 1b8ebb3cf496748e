"""Which misclassified images to look at first: a few that differ in what they show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from lrdiag import formats
from lrdiag.diagnosis.pairs import FEWEST_IN_PAIR
from lrdiag.record.facts import Diagnosis, Mistake

MOST = 6
"""Number of images."""
_OF_FINDINGS = 2
"""Most images that findings choose. The others show mistakes that no finding names."""


@dataclass(frozen=True)
class Telling:
    """A misclassified image to look at.

    Attributes:
        place: Its place in `Misclassified.items`.
        mistake: The image.
        reason: Why it was chosen, in a few words.
    """

    place: int
    mistake: Mistake
    reason: str


def telling(diagnosis: Diagnosis, shown: Collection[int] | None = None) -> list[Telling]:
    """Chooses up to six misclassified images, most important first.

    - The image with the highest loss of each of the two most severe findings that name images.
    - If the run was compared, the broken image with the highest loss.
    - The image with the highest loss of all.
    - The image with the median loss of each confused pair, worst pair first. It is typical of its pair if the facts
      list every mistake, while the highest losses are often wrong labels.
    - If there are too few pairs, the next highest losses.

    No image is chosen twice, and no pair is typical twice.

    Args:
        diagnosis: The facts.
        shown: Places of the images that may be chosen. By default, all of them.
    """
    items = diagnosis.misclassified.items
    allowed = set(range(len(items)) if shown is None else shown)
    chosen: dict[int, Telling] = {}
    for place, reason in _candidates(diagnosis, allowed):
        if len(chosen) == MOST:
            break
        chosen.setdefault(place, Telling(place, items[place], reason))
    return list(chosen.values())


def _candidates(diagnosis: Diagnosis, allowed: set[int]) -> Iterator[tuple[int, str]]:
    """Places with reasons, most important first. A place may come again with another reason."""
    yield from _of_findings(diagnosis, allowed)
    if diagnosis.comparison:
        broken = sorted(allowed.intersection(diagnosis.comparison.broken))
        yield from ((place, "broken: the baseline is right") for place in broken[:1])
    ranked = sorted(allowed)
    yield from ((place, "highest loss") for place in ranked[:1])
    yield from _of_pairs(diagnosis, ranked)
    yield from ((place, "high loss") for place in ranked)


def _of_findings(diagnosis: Diagnosis, allowed: set[int]) -> Iterator[tuple[int, str]]:
    places = {item.index: place for place, item in enumerate(diagnosis.misclassified.items)}
    used: set[int] = set()
    for finding in diagnosis.outstanding:
        known = [places[index] for index in finding.images if index in places]
        first = next((place for place in known if place in allowed - used), None)
        if first is not None and finding.code != "confused-pair":  # the pairs come later
            used.add(first)
            yield first, f"finding: {finding.code.replace('-', ' ')}"
        if len(used) == _OF_FINDINGS:
            return


def _of_pairs(diagnosis: Diagnosis, ranked: list[int]) -> Iterator[tuple[int, str]]:
    items = diagnosis.misclassified.items
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place in ranked:
        groups[items[place].true, items[place].predicted].append(place)
    for pair in diagnosis.confused_pairs:
        group = groups.get((pair.true, pair.predicted))
        if group:
            yield group[len(group) // 2], _of_pair(pair.count, all_known=len(items) == diagnosis.misclassified.count)


def _of_pair(count: int, *, all_known: bool) -> str:
    if count == 1:
        return "the only one of its pair"
    return f"{'typical' if count >= FEWEST_IN_PAIR and all_known else 'one'} of {formats.count(count)} of its pair"
