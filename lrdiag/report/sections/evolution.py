"""How predictions for some test images changed during training."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.facts import Evolution as Facts
from lrdiag.record.facts import Moment, Run
from lrdiag.record.pictures import Sheet, SheetName
from lrdiag.report.pictures.tiles import Layer, layer, places

PICTURES: tuple[SheetName, ...] = ("evolution", "evolution-maps")


@dataclass(frozen=True)
class Cell:
    """One image after one epoch.

    Attributes:
        predicted: Predicted class.
        confidence: Its probability; `None` if the scores were not finite.
        right: Whether the prediction was correct.
        place: Column and row of the heatmap in its sheet.
    """

    predicted: str
    confidence: float | None
    right: bool
    place: tuple[int, int]


@dataclass(frozen=True)
class Row:
    """One image: its index, its true class, its place on the sheet of images, and its predictions over the epochs."""

    index: int
    true: str
    place: tuple[int, int]
    cells: list[Cell]


@dataclass(frozen=True)
class Evolution:
    """Some images, followed through training.

    Attributes:
        sentence: First and last accuracy.
        epochs: The epochs after which the model was evaluated.
        accuracies: Accuracy after each of them.
        rows: The images.
        images: The sheet of the images.
        maps: The sheet of their heatmaps, or `None`.
    """

    sentence: str
    epochs: list[int]
    accuracies: list[float]
    rows: list[Row]
    images: Layer
    maps: Layer | None


def build(run: Run) -> Evolution | None:
    """Computes the content of the section; `None` if no image was followed."""
    facts = run.diagnosis.evolution
    images = places(run.diagnosis, run.pictures, "evolution", "evolution-maps")
    maps = run.pictures.sheets.get("evolution-maps")
    if facts is None or images is None:
        return None
    return Evolution(
        sentence=_sentence(facts),
        epochs=facts.epochs,
        accuracies=facts.accuracies,
        rows=_rows(facts, run.diagnosis.dataset.classes, images, maps),
        images=layer(run.pictures, images),
        maps=layer(run.pictures, maps, over=images) if maps else None,
    )


def _rows(facts: Facts, names: list[str], images: Sheet, maps: Sheet | None) -> list[Row]:
    def cell(moment: Moment, true: int, place: int) -> Cell:
        position = maps.place(place) if maps else (0, 0)
        return Cell(names[moment.predicted], moment.confidence, moment.predicted == true, position)

    rows = []
    for place, image in enumerate(facts.images):
        first = place * len(facts.epochs)
        cells = [cell(moment, image.true, first + step) for step, moment in enumerate(image.moments)]
        rows.append(Row(image.index, names[image.true], images.place(place), cells))
    return rows


def _sentence(facts: Facts) -> str:
    (first, last), (before, now) = (facts.epochs[0], facts.epochs[-1]), (facts.accuracies[0], facts.accuracies[-1])
    return (
        f"Accuracy was {formats.percent(before)} after epoch {first} and {formats.percent(now)} after epoch {last}. "
        f"The table follows {formats.plural(len(facts.images), 'image')}."
    )
