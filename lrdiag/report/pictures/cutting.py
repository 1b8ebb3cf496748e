"""Cuts single pictures out of a sheet."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from io import BytesIO
from math import ceil, sqrt
from typing import TYPE_CHECKING

from lrdiag.errors import RunFolderError
from lrdiag.record.picture_files import FORMATS, require_picture
from lrdiag.record.pictures import Pictures, Sheet

if TYPE_CHECKING:
    from PIL.Image import Image

_QUALITY = 85  # the images are compressed a second time
_MODES = ("P", "RGB", "RGBA")
"""The modes of the sheets that lrdiag draws."""
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error)
"""What Pillow raises for a file that is truncated or no picture."""


class Cells:
    """The pictures of a sheet.

    Args:
        pictures: The pictures of a run.
        sheet: One of their sheets.

    Raises:
        RunFolderError: If its file is missing, truncated, or not a picture of the sheet's size.
    """

    def __init__(self, pictures: Pictures, sheet: Sheet) -> None:
        from PIL import Image

        content = pictures.files.get(sheet.file, b"")
        require_picture(sheet, content)
        try:
            with Image.open(BytesIO(content), formats=FORMATS) as picture:
                if (picture.size, picture.mode in _MODES) != (sheet.size, True):
                    raise ValueError(f"{picture.size[0]} × {picture.size[1]} pixels of the mode {picture.mode}")
                picture.load()
        except _BROKEN as error:
            raise RunFolderError(
                f"A run must contain the whole picture file {sheet.file!r}. Make the run again. Received: {error}"
            ) from error
        self._picture, self._sheet = picture, sheet

    def at(self, cell: int, *, padding: int = 0) -> Image:
        """One picture, with `padding` pixels around it."""
        column, row = self._sheet.place(cell)
        left = column * (self._sheet.width + 2 * self._sheet.padding) + self._sheet.padding
        top = row * (self._sheet.height + 2 * self._sheet.padding) + self._sheet.padding
        right, bottom = left + self._sheet.width, top + self._sheet.height
        return self._picture.crop((left - padding, top - padding, right + padding, bottom + padding))

    def rearranged(self, cells: list[int], file: str, items: list[int]) -> tuple[Sheet, bytes]:
        """A new sheet of one or more of the pictures, in the same format. Heatmaps keep their colours exactly.

        Args:
            cells: The pictures, in their new order.
            file: Name of the new file.
            items: Index of the entry that each of them shows.
        """
        from PIL import Image

        columns, padding = ceil(sqrt(len(cells))), self._sheet.padding
        width, height = self._sheet.width + 2 * padding, self._sheet.height + 2 * padding
        new = Image.new(self._picture.mode, (columns * width, ceil(len(cells) / columns) * height))
        for number, cell in enumerate(cells):
            row, column = divmod(number, columns)
            new.paste(self.at(cell, padding=padding), (column * width, row * height))
        sheet = dataclasses.replace(self._sheet, file=file, count=len(cells), columns=columns, items=items)
        return sheet, self._encoded(new)

    def _encoded(self, new: Image) -> bytes:
        encoded = BytesIO()
        if palette := self._picture.getpalette():
            new.putpalette(palette)
            new.save(encoded, "PNG", transparency=self._picture.info.get("transparency", b""), optimize=True)
        else:
            new.save(encoded, "WEBP", quality=_QUALITY, method=4)
        return encoded.getvalue()
