"""Decodes image files in parallel into one array. Broken files are skipped and listed."""

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
_CHUNK = 250  # files per task: enough to hide the cost of a task, few enough to move the progress bar
_THREADS = min(4, os.cpu_count() or 1)  # with small images, more threads wait for the interpreter lock
_LONGEST_REASON = 200


@dataclass(frozen=True)
class LabelledFiles:
    """Image files and their labels.

    Attributes:
        names: Their paths, relative to a folder or absolute.
        labels: Indices into the classes, an `int64` array of shape `(n,)`.
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
    """Reads the files of each part in order.

    Grey, palette, CMYK, 16-bit and transparent images are converted to RGB, without transparency, and rotated by their
    EXIF orientation. Then `lrdiag.data.fitting.fit` crops and scales them. Each part is in memory once, and twice
    while broken files are removed from it.

    Example:
        ```python
        files = LabelledFiles(["1.jpg", "2.jpg"], labels=np.array([0, 1]))
        parts, skipped = read_parts(Path("photos"), {"test": files}, (32, 32), 3, Silence())
        ```

    Args:
        folder: The folder that the names are relative to.
        parts: The files of each part.
        size: Height and width of the images, in pixels.
        channels: 1 (grey) or 3.
        progress: The listener.

    Returns:
        The images of each part, and the files that couldn't be read.
    """
    images, skipped = {}, []
    with progress.stage("Reading images", sum(len(files.names) for files in parts.values()), "images") as stage:
        for part, files in parts.items():
            images[part], broken = _read(folder, files, size, channels, stage)
            skipped += broken
    return images, skipped


def reason(error: Exception) -> str:
    """Returns the message of an error on one line.

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
    if not path.is_file():  # reading a pipe could block forever
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
    """Returns whether a JPEG or PNG has its end marker. OpenCV silently fills in a missing end."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" in data


def _decode_strictly(data: bytes) -> npt.NDArray[Any]:
    """Decodes an image with Pillow, which is ten times slower than OpenCV and rejects truncated files."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:  # Pillow's message would name a buffer
        raise ValueError(f"its {len(data):,} bytes are not a JPEG, PNG, WebP or BMP image") from None
