"""The images to look at first."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.facts import Mistake, Run
from lrdiag.record.pictures import SheetName
from lrdiag.report.pictures.tiles import places
from lrdiag.report.sections.trust import empty_sentence
from lrdiag.report.telling import telling

PICTURES: tuple[SheetName, SheetName] = ("mistakes", "mistakes-predicted")


@dataclass(frozen=True)
class Tile:
    """One image: its classes, why it was chosen, and the place of its pictures on their sheets."""

    mistake: Mistake
    true: str
    predicted: str
    reason: str
    x: int
    y: int


@dataclass(frozen=True)
class First:
    """The images to look at first.

    Attributes:
        tiles: The images, most important first.
        mapped: Whether they have heatmaps.
        empty: That most heatmaps are empty, or `None`.
    """

    tiles: list[Tile]
    mapped: bool
    empty: str | None


def build(run: Run) -> First | None:
    """Chooses the images; `None` if no misclassified image has a picture."""
    images = places(run.diagnosis, run.pictures, *PICTURES)
    if images is None:
        return None
    names = [formats.short(name) for name in run.diagnosis.dataset.classes]
    cells = {item: cell for cell, item in enumerate(images.shown)}
    return First(
        [
            Tile(
                each.mistake,
                names[each.mistake.true],
                names[each.mistake.predicted],
                each.reason,
                *images.place(cells[each.place]),
            )
            for each in telling(run.diagnosis, cells)
        ],
        "mistakes-predicted" in run.pictures.sheets,
        empty_sentence(run.diagnosis.heatmaps.trust),
    )
