"""Test images that are listed, but not read: any slice of them can be read alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lrdiag.data.fitting import AS_IS, Fitting, Sizes, fit_all
from lrdiag.errors import DataError
from lrdiag.formats import count
from lrdiag.progress import Progress
from lrdiag.record.arrays import NO_IMAGES, Dataset, LabelledImages, SkippedFile

if TYPE_CHECKING:
    from lrdiag.data.sources.decoding import Decoded

_AT_ONCE = 512  # images


@dataclass
class Tally:
    """What is counted while images are read.

    Attributes:
        sizes: How many images had another size.
        turned: How many images were turned upright.
        sixteen_bit_max: The maximum of the images with 16 bits for each value, as their upper 8 bits; `None` without
            such images.
        skipped: The images that could not be read, in order.
    """

    sizes: Sizes = field(default_factory=Sizes)
    turned: int = 0
    sixteen_bit_max: int | None = None
    skipped: list[SkippedFile] = field(default_factory=list)

    def count(self, decoded: Decoded, size: tuple[int, int]) -> None:
        """Counts one image that is brought to `size`."""
        self.sizes.add(decoded.pixels.shape, size)
        self.turned += decoded.turned
        if decoded.sixteen_bits:
            self.sixteen_bit_max = max(self.sixteen_bit_max or 0, int(decoded.pixels.max()))

    def add(self, other: Tally) -> None:
        """Adds what was counted of the images that follow."""
        self.sizes.total += other.sizes.total
        self.sizes.others += other.sizes.others
        self.sizes.distorted += other.sizes.distorted
        self.turned += other.turned
        self.skipped += other.skipped
        if other.sixteen_bit_max is not None:
            self.sixteen_bit_max = max(self.sixteen_bit_max or 0, other.sixteen_bit_max)

    def notes(self, fitting: Fitting) -> list[str]:
        """Returns sentences on what was done to the images."""
        turned = (
            f"Images whose EXIF orientation is not upright ({count(self.turned)} of {count(self.sizes.total)}) were "
            "turned upright. Keras's loaders do not turn them."
        )
        return [*fitting.notes(self.sizes), *([turned] if self.turned else [])]


class Reading(Protocol):
    """One pass over images. It can be iterated over once, and keeps none of them."""

    @property
    def tally(self) -> Tally:
        """What was counted. Complete after the last images."""

    def __iter__(self) -> Iterator[LabelledImages]:
        """Yields the images in order, some at a time. Images that can't be read are left out."""


@dataclass(frozen=True)
class ListedImages:
    """Test images that are listed, but not read. Any slice of them can be read alone.

    Example:
        >>> from lrdiag.progress import SILENCE
        >>> images = LabelledImages(np.zeros((5, 4, 4, 1), np.uint8), np.arange(5) % 2)
        >>> listed = ListedImages("d", "nowhere", ("cat", "dog"), range(5), partial(ArrayStream, images, Fitting()))
        >>> [part.labels.tolist() for part in listed.part(1, 4).read(SILENCE)]
        [[1, 0, 1]]

    Attributes:
        name: Name of the data in the report.
        source: Where the data is, in words.
        classes: Name of each class.
        places: The images of this part, as indices into the whole list, also those that will turn out to be unreadable.
        stream: Takes places and a listener; returns one pass over the images there, and over no others.
        fitting: Size and channels of the images.
        digest: Tells the whole list from others, by its names and labels and never by pixels. A part has that of its
            whole. It doesn't depend on the folder that contains the data.
        skipped: Files that are not listed because they can't be read. A part has those of its whole.
        fixed_notes: Sentences on what is not read.
    """

    name: str
    source: str
    classes: Sequence[str]
    places: range
    stream: Callable[[range, Progress], Reading]
    fitting: Fitting = AS_IS
    digest: str = ""
    skipped: Sequence[SkippedFile] = ()
    fixed_notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.places)

    def part(self, start: int, stop: int) -> ListedImages:
        """Returns the images from `start` to before `stop`. Reads nothing.

        Raises:
            DataError: If they are not all among these.
        """
        if not 0 <= start <= stop <= len(self.places):
            raise DataError(
                f"A part of the images must lie within them. Received: {start} to {stop} of {len(self.places)} images"
            )
        return replace(self, places=self.places[start:stop])

    def read(self, progress: Progress) -> Reading:
        """Returns one pass over the images."""
        return self.stream(self.places, progress)

    def load(self, progress: Progress) -> LabelledImages:
        """Reads all images into memory."""
        parts = [part for part in self.read(progress) if len(part)] or [NO_IMAGES]
        return LabelledImages(
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.labels for part in parts]),
            tuple(chain.from_iterable(part.files for part in parts)),
        )

    def notes(self, tally: Tally) -> list[str]:
        """Returns sentences on how the images were read.

        Args:
            tally: What was counted in one reading, or the sum of all parts.
        """
        return [*tally.notes(self.fitting), *self.fixed_notes]


class ArrayStream:
    """One pass over images in arrays, which may be memory maps.

    Attributes:
        tally: What was counted. Complete after the last images.

    Args:
        images: All images, as they are stored.
        fitting: Size and channels of the images.
        places: Which of them to read.
        progress: The listener.
    """

    def __init__(self, images: LabelledImages, fitting: Fitting, places: range, progress: Progress) -> None:
        self.tally = Tally()
        self._images, self._fitting, self._places, self._progress = images, fitting, places, progress

    def __iter__(self) -> Iterator[LabelledImages]:
        """Yields the images in order, some at a time."""
        with self._progress.stage("Reading images", len(self._places), "images") as stage:
            for start in range(self._places.start, self._places.stop, _AT_ONCE):
                images = self._images.part(range(start, min(start + _AT_ONCE, self._places.stop)))
                self.tally.sizes.add(images.images.shape[1:], self._fitting.size, len(images))
                yield fit_all(images, self._fitting)
                stage.advance(len(images))


def listed_dataset(dataset: Dataset) -> ListedImages:
    """Lists the test images of a dataset that is in memory."""
    test = dataset.test
    return ListedImages(
        dataset.name,
        dataset.source,
        dataset.classes,
        range(len(test)),
        partial(ArrayStream, test, Fitting(channels=test.images.shape[-1])),
        digest=digest_of(test.labels, *dataset.classes),
        skipped=dataset.skipped,
        fixed_notes=dataset.notes,
    )


def require_labels(labels: np.ndarray, classes: Sequence[str], where: Callable[[int], str]) -> None:
    """Raises if labels are not indices into the classes.

    Args:
        labels: Integers of shape `(n,)`.
        classes: Name of each class.
        where: Takes an index into the labels; says in words where that label is.

    Raises:
        DataError: With the place of the first such label.
    """
    foreign = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(foreign):
        raise DataError(
            f"Labels must be between 0 and {len(classes) - 1}, because there are {len(classes)} classes. "
            f"Received: {labels[foreign[0]]} of {where(int(foreign[0]))}. Correct the label, or name all classes"
        )


def digest_of(*facts: object) -> str:
    """Returns the SHA-256 of facts: text, numbers, and arrays of numbers.

    Example:
        >>> digest_of("a", np.arange(3))[:8], digest_of("a", 1) == digest_of("a1")
        ('84eef75b', False)
    """
    digest = hashlib.sha256()
    for fact in facts:
        raw = fact.tobytes() if isinstance(fact, np.ndarray) else str(fact).encode("utf-8", "surrogateescape")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()
