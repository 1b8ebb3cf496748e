"""Reads image files in parallel, while the first of them are used already. Broken files are skipped and listed."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lrdiag.data.fitting import DEFAULT_SIZE, Fitting, Sizes
from lrdiag.data.opened import OpenedTestSet
from lrdiag.data.sources.decoding import Decoded, decode
from lrdiag.data.splitting import Part, assemble, source_of
from lrdiag.errors import DataError, LrdiagError
from lrdiag.formats import count, printable
from lrdiag.progress import Progress, Stage
from lrdiag.record.arrays import Dataset, LabelledImages, SkippedFile

_CHUNK = 250  # files per task: enough to hide the cost of a task, few enough to move the progress bar
_CHUNK_BYTES = 2**22  # of the images of a task: nobody waits long for the first
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


class FileReader:
    """Reads the files of each part in order.

    `lrdiag.data.sources.decoding.decode` decodes them, and `fitting` brings them to one size. Each part is in memory
    once. Other threads read on while the caller uses what was read.

    Example:
        ```python
        files = LabelledFiles(["1.jpg", "2.jpg"], labels=np.array([0, 1]))
        reader = FileReader(Path("photos"), {"test": files}, Fitting((32, 32)), Silence())
        for images in reader:
            ...
        reader.parts["test"]
        ```

    Attributes:
        parts: The images of each part. Complete after the last images, as everything below.
        skipped: The files that couldn't be read.

    Args:
        folder: The folder that the names are relative to.
        parts: The files of each part.
        fitting: Size and channels of the images.
        progress: The listener.
    """

    def __init__(self, folder: Path, parts: Mapping[Part, LabelledFiles], fitting: Fitting, progress: Progress) -> None:
        self.parts: dict[Part, LabelledImages] = {}
        self.skipped: list[SkippedFile] = []
        self._folder, self._files, self._fitting, self._progress = folder, parts, fitting.of_files, progress
        self._tally = Tally()

    def __iter__(self) -> Iterator[LabelledImages]:
        """Yields the images in order, some at a time.

        Raises:
            DataError: If no size is requested and the images differ in size.
        """
        total = sum(len(files.names) for files in self._files.values())
        with self._progress.stage("Reading images", total, "images") as stage, warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # damaged tags, many pixels: what does not matter here
            for part, files in self._files.items():
                yield from self._read(part, files, stage)

    def read(self) -> FileReader:
        """Reads everything."""
        for _ in self:
            pass
        return self

    @property
    def sixteen_bit_max(self) -> int | None:
        """As in `Tally`."""
        return self._tally.sixteen_bit_max

    @property
    def notes(self) -> list[str]:
        """Sentences on what was done to the images."""
        tally = self._tally
        turned = (
            f"Images whose EXIF orientation is not upright ({count(tally.turned)} of {count(tally.sizes.total)}) were "
            "turned upright. Keras's loaders do not turn them."
        )
        return [*self._fitting.notes(tally.sizes), *([turned] if tally.turned else [])]

    def _read(self, part: Part, files: LabelledFiles, stage: Stage) -> Iterator[LabelledImages]:
        names = tuple(map(printable, files.names))
        size = self._fitting.size or _shared_size(self._folder, files.names)
        pixels = _empty((len(names), *size, self._fitting.channels))
        kept: list[int] = []
        broken: dict[int, str] = {}

        def labelled(first: int, indices: list[int]) -> LabelledImages:
            images = pixels[first : first + len(indices)]
            return LabelledImages(images, files.labels[indices], tuple(names[index] for index in indices))

        length = min(_CHUNK, max(1, _CHUNK_BYTES // (pixels[:1].nbytes or 1)))
        chunks = [range(start, min(start + length, len(names))) for start in range(0, len(names), length)]
        pool = ThreadPoolExecutor(_THREADS)
        try:
            decoded = pool.map(lambda chunk: self._decode(files.names, chunk, pixels, broken), chunks)
            for chunk, counted in zip(chunks, decoded, strict=True):
                self._tally.add(counted)
                stage.advance(len(chunk))
                first, whole = len(kept), [index for index in chunk if index not in broken]
                kept += whole
                if len(kept) < chunk.stop:
                    pixels[first : len(kept)] = pixels[whole]  # leaves no gap for the broken files up to here
                yield labelled(first, whole)
        finally:  # the caller may have no use for the rest
            pool.shutdown(cancel_futures=True)
        self.skipped += [SkippedFile(names[index], broken[index]) for index in sorted(broken)]
        self.parts[part] = labelled(0, kept)

    def _decode(
        self, names: Sequence[str], chunk: range, pixels: npt.NDArray[np.uint8], broken: dict[int, str]
    ) -> Tally:
        """Decodes some of the files into `pixels`, and notes the reasons why others are `broken`."""
        counted, size = Tally(), pixels.shape[1:3]
        for index in chunk:
            try:
                decoded = decode(os.path.join(self._folder, names[index]))
                if self._fitting.size is None and decoded.pixels.shape[:2] != size:
                    raise different_sizes(names[index], decoded.pixels.shape, size)
                pixels[index] = self._fitting(decoded.pixels)
                counted.count(decoded, size)
            except LrdiagError:  # not the fault of this file
                raise
            except Exception as error:  # a damaged file can raise anything
                broken[index] = reason(error)
        return counted


@dataclass(frozen=True)
class ListedFiles:
    """The image files of a source, before they are read.

    Attributes:
        name: Name of the data in the report.
        source: Where the data is, in words.
        classes: Name of each class.
        folder: The folder that the names are relative to.
        files: The files of each part.
        fitting: Size and channels of the images.
        skipped: Files that can't be read.
        notes: Sentences on what is not read.
    """

    name: str
    source: str
    classes: Sequence[str]
    folder: Path
    files: Mapping[Part, LabelledFiles]
    fitting: Fitting
    skipped: Sequence[SkippedFile] = ()
    notes: Sequence[str] = ()

    def load(self, progress: Progress, *, test_only: bool) -> Dataset:
        """Reads all images."""
        return self._dataset(FileReader(self.folder, self.files, self.fitting, progress).read(), test_only)

    def opened(self, progress: Progress) -> OpenedTestSet:
        """Returns the test images, which are read while they are used."""
        reader = FileReader(self.folder, self.files, self.fitting, progress)
        source = source_of(self.source, self.files, test_only=True)
        return OpenedTestSet(self.classes, source, reader, lambda: self._dataset(reader, test_only=True))

    def _dataset(self, read: FileReader, test_only: bool) -> Dataset:
        return assemble(
            self.name,
            self.source,
            self.classes,
            read.parts,
            test_only=test_only,
            skipped=[*self.skipped, *read.skipped],
            notes=[*read.notes, *self.notes],
            sixteen_bit_max=read.sixteen_bit_max,
        )


def _empty(shape: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
    try:
        return np.empty(shape, np.uint8)
    except (MemoryError, ValueError) as error:  # the latter for more than can be addressed
        images, height, width, channels = shape
        raise DataError(
            "The images of a set must fit in memory. Choose a smaller size with --image-size. "
            f"Received: {count(images)} images of {width:,} × {height:,} pixels and {channels} channels"
        ) from error


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


def _shared_size(folder: Path, names: Sequence[str]) -> tuple[int, int]:
    """Returns height and width of the first image that can be read."""
    for name in names:
        with contextlib.suppress(Exception):  # a damaged file can raise anything
            height, width = decode(os.path.join(folder, name)).pixels.shape[:2]
            return height, width
    return DEFAULT_SIZE  # none can be read, so no image will have it
