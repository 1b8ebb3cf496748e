"""What the network was trained and judged on."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.arrays import SkippedFile
from lrdiag.record.facts import DatasetFacts, Run
from lrdiag.report.pictures.tiles import Layer, layer

_IN_SIGHT = 40
"""Most classes whose table is in sight; that of more is folded."""


@dataclass(frozen=True)
class ClassSamples:
    """One class with its counts and the places of its samples in their sheet, column and row."""

    name: str
    train: int
    test: int
    places: list[tuple[int, int]]


@dataclass(frozen=True)
class Data:
    """The data in words, and a few training images of each class.

    Attributes:
        sentence: How many images there are, and of what kind.
        source: Where they come from.
        rows: The classes.
        samples: The sheet of their samples, or `None`.
        trained: Whether the training images are known.
        skipped: Files that could not be read.
        folded: Whether there are so many classes that their table is folded.
    """

    sentence: str
    source: str
    rows: list[ClassSamples]
    samples: Layer | None
    trained: bool
    skipped: list[SkippedFile]
    folded: bool


def build(run: Run) -> Data:
    """Finds the samples of each class."""
    facts, sheets = run.diagnosis.dataset, run.diagnosis.sheets
    each, columns = sheets.samples_per_class, sheets.samples.columns if sheets.samples else 1
    rows = []
    for index, (name, train, test) in enumerate(zip(facts.classes, facts.train_counts, facts.test_counts, strict=True)):
        places = [divmod(place, columns)[::-1] for place in range(index * each, (index + 1) * each)]
        rows.append(ClassSamples(name, train, test, places))
    return Data(
        sentence=_sentence(facts),
        source=facts.source,
        rows=rows,
        samples=layer(run, sheets.samples) if sheets.samples else None,
        trained=facts.train_size > 0,
        skipped=facts.skipped,
        folded=len(rows) > _IN_SIGHT,
    )


def _sentence(facts: DatasetFacts) -> str:
    height, width, channels = facts.image_shape
    colours = "grey" if channels == 1 else "colour"
    trained = (
        f"{formats.count(facts.train_size)} training, {formats.count(facts.validation_size)} validation and "
        if facts.train_size
        else ""
    )
    return (
        f"{trained}{formats.count(facts.test_size)} test images in {formats.count(len(facts.classes))} classes, "
        f"{width} × {height} pixels in {colours}."
    )
