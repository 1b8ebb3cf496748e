"""The data that the model was trained and evaluated on."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.arrays import SkippedFile
from lrdiag.record.facts import DatasetFacts, Run
from lrdiag.record.pictures import SheetName
from lrdiag.report.pictures.tiles import Layer, layer

PICTURES: tuple[SheetName, ...] = ("samples",)
_IN_SIGHT = 40
"""With more classes, their table is folded."""


@dataclass(frozen=True)
class ClassSamples:
    """One class: its counts, and the column and row of its samples in their sheet."""

    name: str
    train: int
    test: int
    places: list[tuple[int, int]]


@dataclass(frozen=True)
class Data:
    """The data in words, and a few training images of each class.

    Attributes:
        sentence: Number and kind of the images.
        source: Where they come from.
        rows: The classes.
        samples: The sheet of the samples, or `None`.
        trained: Whether the training images are known.
        skipped: Files that could not be read.
        folded: Whether the table of the classes is folded.
    """

    sentence: str
    source: str
    rows: list[ClassSamples]
    samples: Layer | None
    trained: bool
    skipped: list[SkippedFile]
    folded: bool


def build(run: Run) -> Data:
    """Computes the content of the section."""
    facts, sheet = run.diagnosis.dataset, run.pictures.sheets.get("samples")
    each = sheet.count // len(facts.classes) if sheet else 0
    rows = [
        ClassSamples(name, train, test, [sheet.place(index * each + number) for number in range(each)] if sheet else [])
        for index, (name, train, test) in enumerate(
            zip(facts.classes, facts.train_counts, facts.test_counts, strict=True)
        )
    ]
    return Data(
        sentence=_sentence(facts),
        source=facts.source,
        rows=rows,
        samples=layer(run.pictures, sheet) if sheet else None,
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
