"""Cutting single pictures out of a sheet again."""

from __future__ import annotations

import dataclasses
from io import BytesIO
from math import ceil, sqrt
from typing import TYPE_CHECKING

from lrdiag.errors import RunFolderError
from lrdiag.record.facts import Run
from lrdiag.record.pictures import Sheet

if TYPE_CHECKING:
    from PIL.Image import Image

_QUALITY = 85  # the photographs are compressed a second time


class Cells:
    """The pictures of a sheet.

    Args:
        run: The run that the sheet belongs to.
        sheet: Where each picture stands.

    Raises:
        RunFolderError: If the file is missing, cut, or no picture.
    """

    def __init__(self, run: Run, sheet: Sheet) -> None:
        from PIL import Image

        try:
            with Image.open(BytesIO(run.pictures.get(sheet.file, b""))) as picture:
                picture.load()
        except (OSError, ValueError) as error:  # what Pillow says of a file that is cut or no picture
            raise RunFolderError(
                f"A run must hold the picture file {sheet.file!r} whole. Make the run again. Received: {error}"
            ) from error
        self._picture, self._sheet = picture, sheet

    def at(self, cell: int, *, padding: int = 0) -> Image:
        """One picture, with so many of the pixels around it."""
        row, column = divmod(cell, self._sheet.columns)
        left = column * (self._sheet.width + 2 * self._sheet.padding) + self._sheet.padding
        top = row * (self._sheet.height + 2 * self._sheet.padding) + self._sheet.padding
        right, bottom = left + self._sheet.width, top + self._sheet.height
        return self._picture.crop((left - padding, top - padding, right + padding, bottom + padding))

    def rearranged(self, cells: list[int], file: str) -> tuple[Sheet, bytes]:
        """A new sheet of some of the pictures, one or more, in the same format; maps keep their colours exactly.

        Args:
            cells: Which pictures, in the order that they will have.
            file: The name of the new file.
        """
        from PIL import Image

        columns, padding = ceil(sqrt(len(cells))), self._sheet.padding
        width, height = self._sheet.width + 2 * padding, self._sheet.height + 2 * padding
        new = Image.new(self._picture.mode, (columns * width, ceil(len(cells) / columns) * height))
        for number, cell in enumerate(cells):
            row, column = divmod(number, columns)
            new.paste(self.at(cell, padding=padding), (column * width, row * height))
        sheet = dataclasses.replace(self._sheet, file=file, count=len(cells), columns=columns)
        return sheet, self._encoded(new)

    def _encoded(self, new: Image) -> bytes:
        encoded = BytesIO()
        if palette := self._picture.getpalette():
            new.putpalette(palette)
            new.save(encoded, "PNG", transparency=self._picture.info.get("transparency", b""), optimize=True)
        else:
            new.save(encoded, "WEBP", quality=_QUALITY, method=4)
        return encoded.getvalue()
