"""Positions of the pictures of a sheet, as CSS backgrounds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lrdiag.errors import RunFolderError
from lrdiag.record.facts import Diagnosis
from lrdiag.record.pictures import LARGEST_SIDE, Pictures, Sheet, SheetName, shrunk
from lrdiag.report.pictures.sheets import SHARP_SIDE

MEDIA_TYPES = {b"RIFF": "image/webp", b"\x89PNG": "image/png"}


@dataclass(frozen=True)
class Layer:
    """A sheet as a CSS background. Lengths are in pixels of the image, which the page multiplies by `--k`.

    Attributes:
        file: Picture file; empty for a plain ground of this size.
        width: Width of one image.
        height: Height of one image.
        pitch: Distance from one cell to the next, across and down.
        inset: Where the picture begins inside its cell, across and down.
        size: Width and height of the whole sheet.
        cells: Number of columns and rows.
        sharp: Whether pixels are drawn as squares.
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
        """Returns the whole number by which an image is enlarged, so that its longer side has at most `side` pixels."""
        return max(1, side // max(self.width, self.height))


def layer(pictures: Pictures, sheet: Sheet, over: Sheet | None = None) -> Layer:
    """Returns the background that shows one picture of `sheet`, in the size of one picture of `over` if it is given.

    Raises:
        RunFolderError: If the sheet's file is missing or is neither WebP nor PNG.
    """
    encoded = pictures.files.get(sheet.file)
    if sheet.file and (encoded is None or encoded[:4] not in MEDIA_TYPES):
        raise RunFolderError(
            f"A run must contain the picture file {sheet.file!r} as WebP or PNG. Make the run again. "
            f"Received: {'no such file' if encoded is None else 'another format'}"
        )
    shown = over or sheet
    zoom = (shown.width / sheet.width, shown.height / sheet.height)
    pitch = (
        round(zoom[0] * (sheet.width + 2 * sheet.padding), 4),
        round(zoom[1] * (sheet.height + 2 * sheet.padding), 4),
    )
    return Layer(
        file=sheet.file,
        width=shown.width,
        height=shown.height,
        pitch=pitch,
        inset=(round(zoom[0] * sheet.padding, 4), round(zoom[1] * sheet.padding, 4)),
        size=(round(pitch[0] * sheet.columns, 4), round(pitch[1] * sheet.rows, 4)),
        cells=(sheet.columns, sheet.rows),
        sharp=shown is sheet and max(sheet.width, sheet.height) <= SHARP_SIDE,
    )


def places(diagnosis: Diagnosis, pictures: Pictures, images: SheetName, heatmaps: SheetName) -> Sheet | None:
    """Returns the sheet of the images; if they were left out, one without a file at the places of their heatmaps.

    Without both, returns `None`.
    """
    sheet, alone = pictures.sheets.get(images), pictures.sheets.get(heatmaps)
    if sheet is not None or alone is None:
        return sheet
    height, width, _ = diagnosis.dataset.image_shape
    height, width = shrunk(height, width, LARGEST_SIDE)
    return replace(alone, file="", width=width, height=height)


def layer_over(pictures: Pictures, name: SheetName, images: Sheet) -> Layer | None:
    """Returns the background of the heatmaps `name`, at the same positions as `images`, or `None` without heatmaps.

    Raises:
        RunFolderError: As `layer` does.
    """
    sheet = pictures.sheets.get(name)
    if sheet is None:
        return None
    return layer(pictures, sheet, over=images)
