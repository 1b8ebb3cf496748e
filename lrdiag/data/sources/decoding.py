"""Decodes image files by their content: JPEG and PNG with OpenCV, other formats with Pillow, which is slower."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lrdiag import limits, opencv
from lrdiag.data.sources import jpeg

FORMATS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "DIB": (".dib",),
    "ICO": (".ico",),
    "PCX": (".pcx",),
    "QOI": (".qoi",),
    "SGI": (".sgi",),
    "SUN": (".ras",),
    "TGA": (".tga",),
}
"""The formats that are read, by their name in Pillow, with the suffixes of their files.

They contain pixels and need no other program. Formats that Pillow gives to other programs, such as EPS, are not opened.
"""
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
COMMON = ".jpg, .png, .webp, .bmp, .gif, .tif and other image files"

_NO_SIGNATURE = {"TGA": FORMATS["TGA"]}  # anything could be one, so that the suffix decides
_CHUNK = struct.Struct(">I4s")  # length and kind; a kind in capitals contains pixels or colours
_PNG = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (jpeg.SIGNATURE, _PNG, b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
_BITS_OF_TIFF = 258  # the tag BitsPerSample
_NORMAL = 1  # the orientation of an image that is stored upright
_OF_PIXELS = (b"tRNS",)  # chunks without capitals that change how pixels are decoded
_one_large_image = threading.Lock()


class Decoded(NamedTuple):
    """An image.

    Attributes:
        pixels: RGB, `uint8` of shape `(height, width, 3)`.
        sixteen_bits: Whether the file has 16 bits for each value. The pixels are their upper 8 bits.
        turned: Whether it was mirrored or rotated as EXIF says.
    """

    pixels: npt.NDArray[np.uint8]
    sixteen_bits: bool = False
    turned: bool = False


def decode(path: str) -> Decoded:
    """Decodes an image file, or the first image of an animation.

    Palettes, grey and CMYK are converted to RGB. Transparency is dropped, and the colours below it are shown, as in
    Keras's loaders. An image is turned upright if EXIF says that it isn't.

    Raises:
        ValueError: If there is no such file, or it is damaged or of another format.
        Exception: Anything that Pillow raises for a damaged file.
    """
    return decode_bytes(_read(path), os.path.splitext(path)[1].lower())


def decode_bytes(data: bytes, suffix: str = "") -> Decoded:
    """Decodes the content of an image file, as `decode` does.

    Args:
        data: The content.
        suffix: That of the file, in lower case. It tells formats that have no signature.

    Raises:
        ValueError: If it is empty, damaged or of another format.
        Exception: Anything that Pillow raises for a damaged file.
    """
    if not data:
        raise ValueError("it is empty")
    decoded = None
    if data.startswith(jpeg.SIGNATURE):
        decoded = _decode_jpeg(data)
    elif data.startswith(_PNG):
        decoded = _decode_png(data)
    return decoded or _decode_with_pillow(data, suffix)


def _read(path: str) -> bytes:
    if not os.path.isfile(path):  # reading a pipe could block forever
        raise ValueError("there is no such file")
    with open(path, "rb", buffering=0) as file:
        _refuse(limits.IMAGE_BYTES.excess(os.fstat(file.fileno()).st_size), "it is too large")
        return file.read()


def looks_like_image(path: Path) -> bool:
    """Returns whether a file begins like a common image. It is meant for names without a suffix."""
    try:
        with path.open("rb") as file:
            return file.read(len(_PNG)).startswith(_SIGNATURES)
    except OSError:
        return False


def _decode_jpeg(data: bytes) -> Decoded | None:
    """Returns `None` if the file is incomplete, or if OpenCV can't decode it."""
    structure = jpeg.examine(data)
    if structure is None:
        return None
    _refuse(limits.JPEG_SCANS.excess(len(structure.scans)), "it takes too long to decode")
    with _room_for(structure.width, structure.height):
        _refuse(jpeg.hidden_damage(data, structure), "it is damaged")
        pixels = _opencv(data)
        if pixels is None:
            return None
        _refuse(jpeg.damage_seen(data, structure, pixels), "it is damaged")
    return Decoded(pixels, turned=structure.turned)


def _decode_png(data: bytes) -> Decoded | None:
    """Returns `None` if the file is incomplete, or if OpenCV can't decode it."""
    chunks = _chunks_of_png(data)
    if chunks is None or b"eXIf" in [kind for kind, _ in chunks]:  # versions of OpenCV differ in what they do with EXIF
        return None
    with _room_for(int.from_bytes(data[16:20]), int.from_bytes(data[20:24])):
        pixels = _opencv(_without_remarks(data, chunks))
    return None if pixels is None else Decoded(pixels, sixteen_bits=data[24] == 16)


def _without_remarks(data: bytes, chunks: Sequence[tuple[bytes, slice]]) -> bytes:
    """Returns a PNG file without its texts, times and profiles, which libpng would warn of if they are damaged."""
    needed = [place for kind, place in chunks if kind[0] < ord("a") or kind in _OF_PIXELS]
    return data if len(needed) == len(chunks) else _PNG + b"".join(data[place] for place in needed)


def _chunks_of_png(data: bytes) -> list[tuple[bytes, slice]] | None:
    """Returns the kind and the place of each chunk of a PNG file, or `None` if it has no end.

    Raises:
        ValueError: If the checksum of a chunk that contains pixels or colours is wrong.
    """
    chunks, place, view = [], len(_PNG), memoryview(data)
    while place + 12 <= len(data):
        length, kind = _CHUNK.unpack_from(data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            return None
        if kind[0] < ord("a") and zlib.crc32(view[place + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise ValueError(f"the checksum of its part {kind.decode('ascii', 'replace')} is wrong")
        chunks.append((kind, slice(place, end + 4)))
        if kind == b"IEND":
            return chunks
        place = end + 4
    return None


def _opencv(data: bytes) -> npt.NDArray[np.uint8] | None:
    image = opencv.imdecode(np.frombuffer(data, np.uint8), opencv.IMREAD_COLOR_RGB)
    return None if image is None else np.asarray(image)


def _decode_with_pillow(data: bytes, suffix: str) -> Decoded:
    from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

    Image.init()
    formats = [
        name for name in FORMATS if name in Image.OPEN and suffix in _NO_SIGNATURE.get(name, (suffix,))
    ]  # Pillow may be built without some
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            name, bits = image.format, getattr(image, "tag_v2", {}).get(_BITS_OF_TIFF, ())
            with _room_for(*image.size):
                orientation = image.getexif().get(ExifTags.Base.Orientation, _NORMAL)
                upright = ImageOps.exif_transpose(image)
    except UnidentifiedImageError:  # Pillow's message would name a buffer
        raise ValueError(f"its {len(data):,} bytes are not an image of a known format") from None
    turned = orientation in range(_NORMAL + 1, 9)
    if upright.mode.startswith("I;16") or (upright.mode == "I" and name == "PPM"):
        grey = (np.asarray(upright) >> 8).astype(np.uint8)
        return Decoded(np.repeat(grey[..., np.newaxis], 3, axis=2), True, turned)
    if upright.mode in ("I", "F"):
        raise ValueError("its values have 32 bits. Save it with 8 or 16 bits")
    return Decoded(np.asarray(upright.convert("RGB")), 16 in np.atleast_1d(bits), turned)


def _room_for(width: int, height: int) -> AbstractContextManager[object]:
    """Waits until no other large image is being decoded.

    Raises:
        ValueError: If the image is too large.
    """
    _refuse(limits.IMAGE_PIXELS.excess(width * height), f"it is too large, {width:,} × {height:,}")
    return _one_large_image if width * height > limits.LARGE_IMAGE else nullcontext()


def _refuse(problem: str | None, what: str) -> None:
    if problem:
        raise ValueError(f"{what}: {problem}")
