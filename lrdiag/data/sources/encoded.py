"""Reads encoded images in parallel, while the first of them are used already. Broken images are skipped and listed."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lrdiag.data.fitting import DEFAULT_SIZE, Fitting
from lrdiag.data.listed import ListedImages, Tally, digest_of
from lrdiag.data.sources.decoding import Decoded
from lrdiag.data.splitting import Part, assemble, source_of
from lrdiag.errors import DataError, LrdiagError
from lrdiag.formats import count, printable
from lrdiag.progress import Progress, Stage
from lrdiag.record.arrays import Dataset, LabelledImages, SkippedFile

_CHUNK = 250  # images per task: enough to hide the cost of a task, few enough to move the progress bar
_CHUNK_BYTES = 2**22  # of the pixels of a task: nobody waits long for the first
_BYTES_AHEAD = 2**26  # of the pixels that are decoded before they are used
_THREADS = min(4, os.cpu_count() or 1)  # with small images, more threads wait for the interpreter lock
_LONGEST_REASON = 200


class Chunk(NamedTuple):
    """Some encoded images.

    Attributes:
        names: Their names. They may contain anything.
        labels: Indices into the classes, an `int64` array of shape `(n,)`.
        decode: Decodes the image at a place in the chunk. Any thread may call it. It can raise anything.
        held: Bytes that the encoded images need in memory already.
    """

    names: Sequence[str]
    labels: npt.NDArray[np.int64]
    decode: Callable[[int], Decoded]
    held: int = 0


class EncodedImages(Protocol):
    """Encoded images in their order, of which any slice can be read alone."""

    @property
    def digest(self) -> str:
        """As in `ListedImages`."""

    def __len__(self) -> int:
        """Number of images."""

    def chunks(self, start: int, stop: int, length: int) -> Iterator[Chunk]:
        """Yields the images from `start` to before `stop`, at most `length` at a time."""


class ImageStream:
    """One pass over encoded images. Other threads decode on while the caller uses what was read.

    Only some images are in memory. `lrdiag.data.sources.decoding` decodes them, and `fitting` brings them to one size.

    Attributes:
        tally: What was counted. Complete after the last images.

    Args:
        images: The images.
        fitting: Size and channels of the images.
        places: Which of them to read.
        progress: The listener.
    """

    def __init__(self, images: EncodedImages, fitting: Fitting, places: range, progress: Progress) -> None:
        self.tally = Tally()
        self._images, self._places, self._fitting, self._progress = images, places, fitting.of_files, progress

    def __iter__(self) -> Iterator[LabelledImages]:
        """Yields the images in order, some at a time.

        Raises:
            DataError: If no size is requested and the images differ in size.
        """
        with self._progress.stage("Reading images", len(self._places), "images") as stage:
            yield from self.within(stage)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        height, width = self._fitting.size or _shared_size(self._images)
        return height, width, self._fitting.channels

    def within(self, stage: Stage) -> Iterator[LabelledImages]:
        """Yields the images as part of a stage that was begun."""
        size = max(1, math.prod(self.shape))
        length = min(_CHUNK, max(1, _CHUNK_BYTES // size))
        chunks = self._images.chunks(self._places.start, self._places.stop, length)
        pool = ThreadPoolExecutor(_THREADS)
        waiting: deque[tuple[int, Future[tuple[LabelledImages, Tally]]]] = deque()
        ahead, is_complete = 0, False
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="PIL")  # damaged tags, many pixels: what does not matter here
                while True:
                    while not is_complete and (len(waiting) < _THREADS or ahead < _BYTES_AHEAD):
                        chunk = next(chunks, None)
                        is_complete = chunk is None
                        if chunk is not None:
                            needed = max(len(chunk.names) * size, chunk.held)
                            waiting.append((needed, pool.submit(self._decoded, chunk)))
                            ahead += needed
                    if not waiting:
                        return
                    needed, decoded = waiting.popleft()
                    ahead -= needed
                    images, counted = decoded.result()
                    self.tally.add(counted)
                    stage.advance(len(images) + len(counted.skipped))
                    yield images
        finally:  # the caller may have no use for the rest
            pool.shutdown(cancel_futures=True)

    def _decoded(self, chunk: Chunk) -> tuple[LabelledImages, Tally]:
        """Decodes a chunk, and lists the images that are broken."""
        names, counted, kept = tuple(map(printable, chunk.names)), Tally(), list[int]()
        pixels = _empty((len(names), *self.shape))
        for index, name in enumerate(names):
            try:
                decoded = chunk.decode(index)
                if self._fitting.size is None and decoded.pixels.shape[:2] != self.shape[:2]:
                    raise different_sizes(name, decoded.pixels.shape, self.shape[:2])
                pixels[len(kept)] = self._fitting(decoded.pixels)
                counted.count(decoded, self.shape[:2])
                kept.append(index)
            except LrdiagError:  # not the fault of this image
                raise
            except Exception as error:  # a damaged image can raise anything
                counted.skipped.append(SkippedFile(name, reason(error)))
        images = LabelledImages(pixels[: len(kept)], chunk.labels[kept], tuple(names[index] for index in kept))
        return images, counted


class PartsReader:
    """Reads the images of each part in order, and keeps them. Each part is in memory once.

    Example:
        ```python
        files = LabelledFiles(Path("photos"), ["1.jpg", "2.jpg"], labels=np.array([0, 1]))
        reader = PartsReader({"test": files}, Fitting((32, 32)), Silence())
        for images in reader:
            ...
        reader.parts["test"]
        ```

    Attributes:
        parts: The images of each part. Complete after the last images, as `tally`.
        tally: What was counted.

    Args:
        parts: The images of each part.
        fitting: Size and channels of the images.
        progress: The listener.
    """

    def __init__(self, parts: Mapping[Part, EncodedImages], fitting: Fitting, progress: Progress) -> None:
        self.parts: dict[Part, LabelledImages] = {}
        self.tally = Tally()
        self._encoded, self._fitting, self._progress = parts, fitting, progress

    def __iter__(self) -> Iterator[LabelledImages]:
        """Yields the images in order, some at a time.

        Raises:
            DataError: If they don't fit in memory, or no size is requested and the images differ in size.
        """
        total = sum(map(len, self._encoded.values()))
        with self._progress.stage("Reading images", total, "images") as stage:
            for part, images in self._encoded.items():
                yield from self._read(part, images, stage)

    def read(self) -> PartsReader:
        """Reads everything."""
        for _ in self:
            pass
        return self

    def _read(self, part: Part, encoded: EncodedImages, stage: Stage) -> Iterator[LabelledImages]:
        stream = ImageStream(encoded, self._fitting, range(len(encoded)), self._progress)
        pixels = _empty((len(encoded), *stream.shape))
        labels = np.empty(len(encoded), np.int64)
        names: list[str] = []
        for images in stream.within(stage):
            places = slice(len(names), len(names) + len(images))
            pixels[places], labels[places] = images.images, images.labels
            names += images.files
            yield LabelledImages(pixels[places], labels[places], images.files)
        self.tally.add(stream.tally)
        self.parts[part] = LabelledImages(pixels[: len(names)], labels[: len(names)], tuple(names))


@dataclass(frozen=True)
class ListedParts:
    """The encoded images of a source, before they are read.

    Attributes:
        name: Name of the data in the report.
        source: Where the data is, in words.
        classes: Name of each class.
        parts: The images of each part.
        fitting: Size and channels of the images.
        skipped: Files that can't be read.
        notes: Sentences on what is not read.
    """

    name: str
    source: str
    classes: Sequence[str]
    parts: Mapping[Part, EncodedImages]
    fitting: Fitting
    skipped: Sequence[SkippedFile] = ()
    notes: Sequence[str] = ()

    def load(self, progress: Progress, *, test_only: bool) -> Dataset:
        """Reads all images."""
        return self._dataset(PartsReader(self.parts, self.fitting, progress).read(), test_only)

    def listed(self) -> ListedImages:
        """Returns the test images, which are not read yet: `parts` must have no others."""
        (images,) = self.parts.values()
        return ListedImages(
            self.name,
            source_of(self.source, self.parts, test_only=True),
            self.classes,
            range(len(images)),
            partial(ImageStream, images, self.fitting),
            self.fitting.of_files,
            digest_of(images.digest, *self.classes),
            self.skipped,
            self.notes,
        )

    def _dataset(self, read: PartsReader, test_only: bool) -> Dataset:
        return assemble(
            self.name,
            self.source,
            self.classes,
            read.parts,
            test_only=test_only,
            skipped=[*self.skipped, *read.tally.skipped],
            notes=[*read.tally.notes(self.fitting.of_files), *self.notes],
            sixteen_bit_max=read.tally.sixteen_bit_max,
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


def _shared_size(images: EncodedImages) -> tuple[int, int]:
    """Returns height and width of the first image that can be decoded."""
    for chunk in images.chunks(0, len(images), 1):
        with contextlib.suppress(Exception):  # a damaged image can raise anything
            height, width = chunk.decode(0).pixels.shape[:2]
            return height, width
    return DEFAULT_SIZE  # none can be decoded, so no image will have it
