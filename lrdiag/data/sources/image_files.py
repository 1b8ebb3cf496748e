"""Image files, decoded and fitted side by side into one array; those that are broken are left out and named."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lrdiag import opencv
from lrdiag.data.fitting import fit
from lrdiag.data.sources.names import printable
from lrdiag.data.splitting import Part
from lrdiag.errors import LrdiagError
from lrdiag.progress import Progress, Stage
from lrdiag.record.arrays import LabelledImages, SkippedFile

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_CHUNK = 250  # files in one task: many enough that tasks cost nothing, few enough that the progress bar moves
_THREADS = min(4, os.cpu_count() or 1)  # small images keep no more busy: threads then wait for the interpreter lock
_LONGEST_REASON = 200


@dataclass(frozen=True)
class LabelledFiles:
    """Files and what they show.

    Attributes:
        names: Their paths, relative to a folder or absolute.
        labels: `int64` array of shape `(n,)`, indices into the classes.
    """

    names: Sequence[str]
    labels: npt.NDArray[np.int64]


def read_parts(
    folder: Path,
    parts: Mapping[Part, LabelledFiles],
    size: tuple[int, int],
    channels: int,
    progress: Progress,
) -> tuple[dict[Part, LabelledImages], list[SkippedFile]]:
    """Reads the files of each part, in their order.

    Grey, palette, CMYK, 16-bit and transparent images become RGB (transparency is dropped) and are turned as their EXIF
    orientation says; then `lrdiag.data.fitting.fit` cuts and scales them. Each part lies in memory once, and a second
    time only while broken files are taken out of it.

    Example:
        ```python
        files = LabelledFiles(["1.jpg", "2.jpg"], labels=np.array([0, 1]))
        parts, skipped = read_parts(Path("photos"), {"test": files}, (32, 32), 3, Silence())
        ```

    Args:
        folder: What the names are relative to.
        parts: The files.
        size: Height and width of the images, in pixels.
        channels: 1 (grey) or 3.
        progress: Is told of each image.

    Returns:
        The images of each part, and the files that could not be read.
    """
    images, skipped = {}, []
    with progress.stage("Reading images", sum(len(files.names) for files in parts.values()), "images") as stage:
        for part, files in parts.items():
            images[part], broken = _read(folder, files, size, channels, stage)
            skipped += broken
    return images, skipped


def reason(error: Exception) -> str:
    """What went wrong, in one line.

    Example:
        >>> reason(FileNotFoundError(2, "No such file or directory", "x.jpg"))
        'No such file or directory'
    """
    words = (getattr(error, "strerror", None) or str(error) or type(error).__name__).split()
    return printable(" ".join(words))[:_LONGEST_REASON]


def _read(
    folder: Path, files: LabelledFiles, size: tuple[int, int], channels: int, stage: Stage
) -> tuple[LabelledImages, list[SkippedFile]]:
    pixels = np.empty((len(files.names), *size, channels), np.uint8)
    broken: dict[int, str] = {}

    def read(start: int) -> int:
        chunk = files.names[start : start + _CHUNK]
        for index, name in enumerate(chunk, start):
            try:
                pixels[index] = fit(_decode(folder / name), size, channels)
            except LrdiagError:  # OpenCV cannot be used
                raise
            except Exception as error:  # a damaged file can raise anything
                broken[index] = reason(error)
        return len(chunk)

    with ThreadPoolExecutor(_THREADS) as pool:
        for done in pool.map(read, range(0, len(files.names), _CHUNK)):
            stage.advance(done)
    names = tuple(map(printable, files.names))
    images = LabelledImages(pixels, files.labels, names)
    if not broken:
        return images, []
    whole = np.setdiff1d(np.arange(len(names)), list(broken))
    return images.take(whole), [SkippedFile(names[index], broken[index]) for index in sorted(broken)]


def _decode(path: Path) -> npt.NDArray[Any]:
    """Returns an RGB image of shape `(height, width, 3)`, `uint8`."""
    if not path.is_file():  # a pipe would be waited for
        raise ValueError("there is no such file")
    data = path.read_bytes()
    if not data:
        raise ValueError("it is empty")
    if _ends_properly(data):
        image = opencv.imdecode(np.frombuffer(data, np.uint8), opencv.IMREAD_COLOR_RGB)
        if image is not None:
            return np.asarray(image)
    return _decode_strictly(data)


def _ends_properly(data: bytes) -> bool:
    """Whether the last picture in a JPEG or PNG is closed: OpenCV fills in what is missing and says nothing."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" in data


def _decode_strictly(data: bytes) -> npt.NDArray[Any]:
    """Decodes JPEG and PNG ten times more slowly than OpenCV, and refuses what is cut short."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:  # Pillow would name a buffer
        raise ValueError(f"its {len(data):,} bytes are no JPEG, PNG, WebP or BMP") from None
