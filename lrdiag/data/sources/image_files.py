"""Reads image files in parallel into one array. Broken files are skipped and listed."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lrdiag.data.fitting import DEFAULT_SIZE, Fitting, Sizes
from lrdiag.data.sources.decoding import Decoded, decode
from lrdiag.data.sources.names import printable
from lrdiag.data.splitting import Part
from lrdiag.errors import DataError, LrdiagError
from lrdiag.formats import count
from lrdiag.progress import Progress, Stage
from lrdiag.record.arrays import LabelledImages, SkippedFile

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


@dataclass
class Tally:
    """What is counted while images are read.

    Attributes:
        sizes: How many images had another size.
        turned: How many images were turned upright.
        sixteen_bit_max: The maximum of the images with 16 bits for each value, as their upper 8 bits; `None` without
            such images.
    """

    sizes: Sizes = field(default_factory=Sizes)
    turned: int = 0
    sixteen_bit_max: int | None = None

    def count(self, decoded: Decoded, size: tuple[int, int]) -> None:
        """Counts one image that is brought to `size`."""
        self.sizes.add(decoded.pixels.shape, size)
        self.turned += decoded.turned
        if decoded.sixteen_bits:
            self.sixteen_bit_max = max(self.sixteen_bit_max or 0, int(decoded.pixels.max()))

    def add(self, other: Tally) -> None:
        """Adds the counts of other images."""
        self.sizes.total += other.sizes.total
        self.sizes.others += other.sizes.others
        self.sizes.distorted += other.sizes.distorted
        self.turned += other.turned
        if other.sixteen_bit_max is not None:
            self.sixteen_bit_max = max(self.sixteen_bit_max or 0, other.sixteen_bit_max)


@dataclass(frozen=True)
class FilesRead:
    """Images that were read from files.

    Attributes:
        parts: The images of each part.
        skipped: The files that couldn't be read.
        notes: Sentences on what was done to the images.
        sixteen_bit_max: As in `Tally`.
    """

    parts: dict[Part, LabelledImages]
    skipped: list[SkippedFile]
    notes: list[str]
    sixteen_bit_max: int | None


def read_parts(folder: Path, parts: Mapping[Part, LabelledFiles], fitting: Fitting, progress: Progress) -> FilesRead:
    """Reads the files of each part in order.

    `lrdiag.data.sources.decoding.decode` decodes them, and `fitting` brings them to one size. Each part is in memory
    once, and twice while broken files are removed from it.

    Example:
        ```python
        files = LabelledFiles(["1.jpg", "2.jpg"], labels=np.array([0, 1]))
        read = read_parts(Path("photos"), {"test": files}, Fitting((32, 32)), Silence())
        ```

    Args:
        folder: The folder that the names are relative to.
        parts: The files of each part.
        fitting: Size and channels of the images.
        progress: The listener.

    Raises:
        DataError: If no size is requested and the images differ in size.
    """
    fitting, tally = fitting.of_files, Tally()
    images: dict[Part, LabelledImages] = {}
    skipped: list[SkippedFile] = []
    total = sum(len(files.names) for files in parts.values())
    with progress.stage("Reading images", total, "images") as stage, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what does not matter here: damaged tags, many pixels
        for part, files in parts.items():
            images[part], broken = _read(folder, files, fitting, tally, stage)
            skipped += broken
    return FilesRead(images, skipped, _notes(tally, fitting), tally.sixteen_bit_max)


def different_sizes(name: str, shape: tuple[int, ...], size: tuple[int, int]) -> DataError:
    """Returns the error for images of different sizes if no size is requested."""
    (height, width), (first_height, first_width) = shape[:2], size
    return DataError(
        "Images must have one size if none is requested, and the model does not state one. Choose it with "
        "--image-size, such as --image-size 224, as in training. "
        f"Received: images of {first_width} × {first_height} pixels, and {printable(name)} of {width} × {height}"
    )


def reason(error: Exception) -> str:
    """Returns the message of an error on one line.

    Example:
        >>> reason(FileNotFoundError(2, "No such file or directory", "x.jpg"))
        'No such file or directory'
    """
    words = (getattr(error, "strerror", None) or str(error) or type(error).__name__).split()
    return printable(" ".join(words))[:_LONGEST_REASON]


def _read(
    folder: Path, files: LabelledFiles, fitting: Fitting, tally: Tally, stage: Stage
) -> tuple[LabelledImages, list[SkippedFile]]:
    size = fitting.size or _shared_size(folder, files.names)
    pixels = np.empty((len(files.names), *size, fitting.channels), np.uint8)
    broken: dict[int, str] = {}

    def read(start: int) -> Tally:
        chunk, counted = files.names[start : start + _CHUNK], Tally()
        for index, name in enumerate(chunk, start):
            try:
                decoded = decode(os.path.join(folder, name))
                if fitting.size is None and decoded.pixels.shape[:2] != size:
                    raise different_sizes(name, decoded.pixels.shape, size)
                pixels[index] = fitting(decoded.pixels)
                counted.count(decoded, size)
            except LrdiagError:  # not the fault of this file
                raise
            except Exception as error:  # a damaged file can raise anything
                broken[index] = reason(error)
        return counted

    with ThreadPoolExecutor(_THREADS) as pool:
        starts = range(0, len(files.names), _CHUNK)
        for start, counted in zip(starts, pool.map(read, starts), strict=True):
            tally.add(counted)
            stage.advance(len(files.names[start : start + _CHUNK]))
    names = tuple(map(printable, files.names))
    images = LabelledImages(pixels, files.labels, names)
    if not broken:
        return images, []
    whole = np.setdiff1d(np.arange(len(names)), list(broken))
    return images.take(whole), [SkippedFile(names[index], broken[index]) for index in sorted(broken)]


def _shared_size(folder: Path, names: Sequence[str]) -> tuple[int, int]:
    """Returns height and width of the first image that can be read."""
    for name in names:
        with contextlib.suppress(Exception):  # a damaged file can raise anything
            height, width = decode(os.path.join(folder, name)).pixels.shape[:2]
            return height, width
    return DEFAULT_SIZE  # none can be read, so no image will have it


def _notes(tally: Tally, fitting: Fitting) -> list[str]:
    turned = (
        f"Images whose EXIF orientation is not upright ({count(tally.turned)} of {count(tally.sizes.total)}) were "
        "turned upright. Keras's loaders do not turn them."
    )
    return [*fitting.notes(tally.sizes), *([turned] if tally.turned else [])]
