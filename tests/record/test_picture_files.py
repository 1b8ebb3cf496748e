"""The size of a picture is read from its header, and nothing else is decompressed."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lrdiag.errors import RunFolderError
from lrdiag.record.picture_files import MOST_PIXELS, header, require_picture
from lrdiag.record.pictures import Sheet


def encoded(width: int, height: int, kind: str, mode: str = "RGB", **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode", "options", "chunk"),
    [
        ("PNG", "RGB", {}, b"IHDR"),
        ("PNG", "P", {}, b"IHDR"),
        ("WEBP", "RGB", {}, b"VP8 "),
        ("WEBP", "RGB", {"lossless": True}, b"VP8L"),
        ("WEBP", "RGBA", {}, b"VP8X"),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (17, 3), (300, 257)])
def test_every_kind_of_header_is_read(
    kind: str, mode: str, options: dict[str, Any], chunk: bytes, size: tuple[int, int]
) -> None:
    content = encoded(*size, kind, mode, **options)
    assert chunk in content[:20]
    assert header(content) == (f"image/{kind.lower()}", *size)
    require_picture(Sheet("a", 1, 1, *size, 0), content)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "TIFF", "EPS"])
def test_other_formats_are_refused(kind: str) -> None:
    assert header(encoded(8, 8, kind)) is None
    with pytest.raises(RunFolderError, match=r"'a' as WebP or PNG.*Received: another format"):
        require_picture(Sheet("a", 1, 1, 8, 8, 0), encoded(8, 8, kind))


def test_a_cut_header_is_no_header() -> None:
    for least, content in (
        (24, encoded(8, 8, "PNG")),
        (30, encoded(8, 8, "WEBP")),
        (30, encoded(8, 8, "WEBP", lossless=True)),
    ):
        assert [header(content[:length]) is None for length in range(31)] == [length < least for length in range(31)]


def test_a_bomb_is_named_with_its_size() -> None:
    small = encoded(8, 8, "PNG")
    bomb = small[:16] + (20_000).to_bytes(4, "big") * 2 + small[24:]
    sheet = Sheet("samples.webp", 1, 1, 20_000, 20_000, 0)
    assert MOST_PIXELS < 20_000**2
    with pytest.raises(RunFolderError, match=r"'samples.webp' may have 89,000,000 pixels.*Received: 20,000 × 20,000"):
        require_picture(sheet, bomb)


def test_a_picture_of_another_size_than_its_sheet_is_refused() -> None:
    sheet = Sheet("a", 5, 2, 6, 4, 1)
    assert sheet.size == (16, 18)
    require_picture(sheet, encoded(16, 18, "WEBP"))
    with pytest.raises(RunFolderError, match=r"size of its sheet, 16 × 18 pixels.*Received: 18 × 16 pixels"):
        require_picture(sheet, encoded(18, 16, "WEBP"))
