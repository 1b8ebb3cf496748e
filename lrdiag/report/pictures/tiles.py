"""Where each small picture of a sheet stands, in the terms of CSS backgrounds."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag.errors import RunFolderError
from lrdiag.record.facts import Run
from lrdiag.record.pictures import Sheet, Sheets
from lrdiag.report.pictures.sheets import SHARP_SIDE

MEDIA_TYPES = {b"RIFF": "image/webp", b"\x89PNG": "image/png"}


@dataclass(frozen=True)
class Layer:
    """A sheet as a CSS background. Lengths are in pixels of the photograph, which the page multiplies by `--k`.

    Attributes:
        file: The picture file.
        width: Width of one photograph.
        height: Height of one photograph.
        pitch: How far it is from one cell to the next, across and down.
        inset: Where the picture begins inside its cell, across and down.
        size: Width and height of the whole sheet.
        cells: Columns and rows.
        sharp: Whether its pixels are to be seen.
    """

    file: str
    width: int
    height: int
    pitch: tuple[float, float]
    inset: tuple[float, float]
    size: tuple[float, float]
    cells: tuple[int, int]
    sharp: bool

    def scale(self, side: int) -> int:
        """The whole number by which a photograph grows so that its longer side takes at most `side` pixels."""
        return max(1, side // max(self.width, self.height))


def layer(run: Run, sheet: Sheet, shown: Sheet | None = None) -> Layer:
    """The background that shows one picture of `sheet` in the size of one picture of `shown`.

    Raises:
        RunFolderError: If the sheet's file is missing from the run or is neither WebP nor PNG.
    """
    encoded = run.pictures.get(sheet.file)
    if encoded is None or encoded[:4] not in MEDIA_TYPES:
        raise RunFolderError(
            f"The run must hold the picture file {sheet.file!r} as WebP or PNG. "
            f"Received: {'no such file' if encoded is None else 'another format'}. Run `train-and-report` again."
        )
    shown = shown or sheet
    zoom = (shown.width / sheet.width, shown.height / sheet.height)
    pitch = (
        round(zoom[0] * (sheet.width + 2 * sheet.padding), 4),
        round(zoom[1] * (sheet.height + 2 * sheet.padding), 4),
    )
    rows = -(-sheet.count // sheet.columns)
    return Layer(
        file=sheet.file,
        width=shown.width,
        height=shown.height,
        pitch=pitch,
        inset=(round(zoom[0] * sheet.padding, 4), round(zoom[1] * sheet.padding, 4)),
        size=(round(pitch[0] * sheet.columns, 4), round(pitch[1] * rows, 4)),
        cells=(sheet.columns, rows),
        sharp=shown is sheet and max(sheet.width, sheet.height) <= SHARP_SIDE,
    )


def places_shown(sheets: Sheets) -> list[int]:
    """Which of `Misclassified.items` have a picture, as places in it: the one at `n` lies in cell `n` of the sheets."""
    if sheets.photographs is None:
        return []
    return list(range(sheets.photographs.count)) if sheets.shown is None else sheets.shown
