"""Rules about images of poor quality, in the test set and in the training set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import MOST_EXHIBITS, MOST_IMAGES, Answer, Found, NotChecked, Passed, Shown
from lrdiag.diagnosis.quality import FEWEST, Defect, defects
from lrdiag.formats import count, percent, plural
from lrdiag.intervals import at_most
from lrdiag.record.data_facts import ImageRef
from lrdiag.record.image_table import ImageTable

_PARTS = {"test": "test", "train": "training"}
_MOST_NAMED = 5
_CHANCE = 0.01
"""Probability below which chance does not explain how many images have a defect."""


@dataclass(frozen=True)
class _Set:
    """The images of a set that have a defect, most severe first."""

    table: ImageTable
    rows: np.ndarray

    @property
    def share(self) -> float:
        return len(self.rows) / max(1, len(self.table))

    @property
    def indices(self) -> list[int]:
        return [int(index) for index in self.table.indices[self.rows]]


def blank_images(evidence: Evidence, threshold: float) -> Answer:
    """Images have one colour; a note up to a share of `threshold`."""
    return _answer(
        evidence,
        "blank",
        threshold,
        "of one colour",
        "The standard deviation of each of their channels is below 2 of 255.",
        "Look at the files: often they could not be read, or are placeholders. Remove them, or load them again.",
        "A blank image shows no object. The model learns to answer with the class of most blank images.",
        counts_few=True,
    )


def damaged_images(evidence: Evidence, threshold: float) -> Answer:
    """Images are noise or break off, more than a share of `threshold`."""
    return _answer(
        evidence,
        "damaged",
        threshold,
        "damaged: noise, or of one colour from a straight edge on",
        "Neighbouring pixels differ as in noise, or a part of 30\u00a0% or more at one side has one colour, in "
        "contrast to the other images of the set.",
        "Look at the files: often they were not downloaded or decoded completely. Remove them, or load them again.",
        "What is destroyed can't be learned, and such test images lower the accuracy.",
    )


def dark_or_bright_images(evidence: Evidence, threshold: float) -> Answer:
    """Images are very dark or very bright, more than a share of `threshold`."""
    return _answer(
        evidence,
        "dark or bright",
        threshold,
        "much darker or brighter than the others",
        "No value is above 100, or none is below 120 (of 255), in contrast to the other images of the set.",
        "Look at them: they may be scaled differently (divided twice, another bit depth), or exposed wrongly. Scale "
        "all images alike, and add `RandomBrightness` to the augmentation if the model will meet such images.",
        "The model has seen few such images, and often fails on them.",
    )


def blurred_images(evidence: Evidence, threshold: float) -> Answer:
    """Images have no fine detail, more than a share of `threshold`."""
    return _answer(
        evidence,
        "blurred",
        threshold,
        "blurred, or were enlarged",
        "They have much less detail at the scale of single pixels than at twice this scale, in contrast to the other "
        "images of the set. Images that were enlarged with interpolation look the same.",
        "Look at them: they may come from another source, or from smaller files. Replace them by sharp ones, or add "
        "blurred images to the augmentation if the model will meet such images.",
        "Fine detail is missing that the model may need.",
    )


def enlarged_images(evidence: Evidence, threshold: float) -> Answer:
    """Images consist of equal rows and columns, more than a share of `threshold`."""
    return _answer(
        evidence,
        "enlarged",
        threshold,
        "enlarged from smaller ones",
        "30\u00a0% or more of their rows and columns are equal to the one before: they were enlarged without "
        "interpolation.",
        "Look for larger files of these images, or prepare all images from the same size.",
        "Enlarged images have no more detail than the small ones, and blocks that other images do not have.",
    )


def bordered_images(evidence: Evidence, threshold: float) -> Answer:
    """Images have a border of one colour, more than a share of `threshold`."""
    return _answer(
        evidence,
        "bordered",
        threshold,
        "framed by a border of one colour",
        "At two opposite sides at least, 2\u00a0% or more of the image have one colour and end with a straight edge, "
        "in contrast to the other images of the set.",
        "Cut the borders off. If images were padded to a square, pad or crop all of them alike.",
        "A border shows the source of an image. If a class has more of them, the model learns the border.",
    )


def _answer(
    evidence: Evidence,
    defect: Defect,
    threshold: float,
    what: str,
    measured: str,
    advice: str,
    why: str,
    *,
    counts_few: bool = False,
) -> Answer:
    sets = _sets(evidence, defect)
    if not sets:
        return NotChecked(f"fewer than {FEWEST} images show no habit of the set")
    share = max(each.share for each in sets)
    shown = [each for each in sets if _is_clear(each, threshold) or (counts_few and len(each.rows))]
    if not shown:
        few = NotChecked("there are too few such images to tell them from chance", share, threshold)
        return few if share > threshold else Passed(share, threshold)
    named = " and ".join(f"{percent(each.share)} of the {_PARTS[each.table.part]} images" for each in shown)
    return Found(
        f"{named} are {what}.",
        f"{measured} {' '.join(_numbers(each) for each in shown)}",
        advice,
        share,
        threshold,
        [index for each in shown if each.table.part == "test" for index in each.indices][:MOST_IMAGES],
        why=why,
        severity="note" if share <= threshold else None,
        exhibits=_exhibits(shown, defect),
    )


def _is_clear(each: _Set, threshold: float) -> bool:
    """Whether so many images are improbable if a share of `threshold` is sound and only unusual."""
    number = len(each.rows)
    return each.share > threshold and 1 - at_most(number - 1, len(each.table), threshold) < _CHANCE


def _sets(evidence: Evidence, defect: Defect) -> list[_Set]:
    tables = [given(evidence.test_images), *([evidence.training_images] if evidence.training_images else [])]
    return [_Set(each, defects(each.statistics)[defect]) for each in tables if len(each) >= FEWEST]


def _numbers(each: _Set) -> str:
    some = ", ".join(str(index) for index in each.indices[:_MOST_NAMED])
    more = " and others" if len(each.rows) > _MOST_NAMED else ""
    noun = f"{_PARTS[each.table.part]} image"
    return f"{plural(len(each.rows), noun)} of {count(len(each.table))}: {some}{more}."


def _exhibits(sets: list[_Set], defect: Defect) -> list[Shown]:
    most = MOST_EXHIBITS // len(sets)
    return [
        Shown(
            ImageRef(each.table.part, int(each.table.indices[row]), each.table.file(int(row))),
            f"{_PARTS[each.table.part]} image: {defect}",
            (each.table.pictures[row],),
        )
        for each in sets
        for row in each.rows[:most].tolist()
    ]
