"""The format and the size of a picture file, from its first bytes."""

from __future__ import annotations

import struct
from typing import NamedTuple

from lrdiag.errors import RunFolderError
from lrdiag.record.pictures import Sheet

MOST_BYTES = 256 * 2**20
"""Size of a picture file."""
MOST_PIXELS = 89_000_000
"""Pixels of a picture file. Pillow warns of more. The pages of lrdiag have sheets of 25 million pixels at most."""
FORMATS = ("PNG", "WEBP")
"""The formats that Pillow may open."""
_PNG = b"\x89PNG\r\n\x1a\n"


class Header(NamedTuple):
    """What the first bytes of a picture file say.

    Attributes:
        media_type: `"image/png"` or `"image/webp"`.
        width: Width in pixels.
        height: Height in pixels.
    """

    media_type: str
    width: int
    height: int


def header(content: bytes) -> Header | None:
    """Returns the header of a PNG or WebP file, or `None` for other content.

    Source: the PNG specification, section 11.2.2; the WebP container specification; RFC 6386, section 9.1.
    """
    if content.startswith(_PNG) and content[12:16] == b"IHDR" and len(content) >= 24:
        return Header("image/png", *struct.unpack(">II", content[16:24]))
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP" and len(content) >= 30:
        size = _size_of_webp(content)
        return Header("image/webp", *size) if size else None
    return None


def _size_of_webp(content: bytes) -> tuple[int, int] | None:
    kind = content[12:16]
    if kind == b"VP8X":  # with transparency or animation
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if kind == b"VP8 " and content[23:26] == b"\x9d\x01\x2a":  # lossy
        width, height = struct.unpack("<HH", content[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and content[20] == 0x2F:  # lossless
        bits = int.from_bytes(content[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def require_few_pixels(name: str, content: bytes) -> None:
    """Raises if the header of a picture file states more pixels than are decompressed.

    Raises:
        RunFolderError: If it does.
    """
    found = header(content)
    if found and found.width * found.height > MOST_PIXELS:
        raise RunFolderError(
            f"The picture file {name!r} may have {MOST_PIXELS:,} pixels at most. Make the run again. "
            f"Received: {found.width:,} × {found.height:,} pixels"
        )


def require_picture(sheet: Sheet, content: bytes) -> None:
    """Raises unless a file is a picture of the size of its sheet. Nothing is decompressed.

    Raises:
        RunFolderError: If it is not, or if it is too large.
    """
    found = header(content)
    if found is None:
        raise RunFolderError(
            f"A run must contain the picture file {sheet.file!r} as WebP or PNG. Make the run again. "
            "Received: another format"
        )
    require_few_pixels(sheet.file, content)
    if (found.width, found.height) != sheet.size:
        raise RunFolderError(
            f"The picture file {sheet.file!r} must have the size of its sheet, {sheet.size[0]:,} × {sheet.size[1]:,} "
            f"pixels. Make the run again. Received: {found.width:,} × {found.height:,} pixels"
        )
