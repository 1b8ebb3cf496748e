"""How some of the images came to be seen as they are."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.facts import Evolution as Facts
from lrdiag.record.facts import Moment, Run
from lrdiag.report.pictures.tiles import Layer, layer


@dataclass(frozen=True)
class Cell:
    """One image after one epoch.

    Attributes:
        predicted: What it was taken for.
        confidence: How sure the network was; `None` where its scores were not numbers.
        right: Whether it was.
        place: Column and row of its map in their sheet.
    """

    predicted: str
    confidence: float | None
    right: bool
    place: tuple[int, int]


@dataclass(frozen=True)
class Row:
    """One image: its number, its class, its place in the sheet of photographs, and what was said of it in turn."""

    index: int
    true: str
    place: tuple[int, int]
    cells: list[Cell]


@dataclass(frozen=True)
class Evolution:
    """Some images, followed through training.

    Attributes:
        sentence: How the accuracy went.
        epochs: After which the network was asked.
        accuracies: Its accuracy at each.
        rows: The images.
        photographs: Where their photographs lie.
        maps: Where their maps lie, or `None`.
    """

    sentence: str
    epochs: list[int]
    accuracies: list[float]
    rows: list[Row]
    photographs: Layer
    maps: Layer | None


def build(run: Run) -> Evolution | None:
    """Sets each image beside what was said of it; `None` where none was followed."""
    facts = run.diagnosis.evolution
    if facts is None or facts.photographs is None:
        return None
    photographs = facts.photographs
    return Evolution(
        sentence=_sentence(facts),
        epochs=facts.epochs,
        accuracies=facts.accuracies,
        rows=_rows(facts, run.diagnosis.dataset.classes, photographs.columns),
        photographs=layer(run, photographs),
        maps=layer(run, facts.heatmaps, shown=photographs) if facts.heatmaps else None,
    )


def _rows(facts: Facts, names: list[str], columns: int) -> list[Row]:
    map_columns = facts.heatmaps.columns if facts.heatmaps else 1

    def cell(moment: Moment, true: int, place: int) -> Cell:
        y, x = divmod(place, map_columns)
        return Cell(names[moment.predicted], moment.confidence, moment.predicted == true, (x, y))

    rows = []
    for place, image in enumerate(facts.images):
        y, x = divmod(place, columns)
        first = place * len(facts.epochs)
        cells = [cell(moment, image.true, first + step) for step, moment in enumerate(image.moments)]
        rows.append(Row(image.index, names[image.true], (x, y), cells))
    return rows


def _sentence(facts: Facts) -> str:
    return (
        f"From {formats.percent(facts.accuracies[0])} after epoch {facts.epochs[0]} to "
        f"{formats.percent(facts.accuracies[-1])} after epoch {facts.epochs[-1]}: "
        f"{formats.plural(len(facts.images), 'image')} on the way."
    )
