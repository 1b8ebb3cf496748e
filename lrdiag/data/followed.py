"""What is known of images after they were read: everything but the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from lrdiag.data.listed import ListedImages, Tally
from lrdiag.errors import DataError
from lrdiag.progress import Progress
from lrdiag.record.arrays import LabelledImages, SkippedFile
from lrdiag.record.facts import DatasetFacts
from lrdiag.record.fingerprint import digests, fingerprint_of


class FollowedImages:
    """Reads images once, and keeps what a report needs besides the images.

    Example:
        >>> from lrdiag.data import list_test_images
        >>> from lrdiag.progress import SILENCE
        >>> followed = FollowedImages(list_test_images("digits", None, (8, 8), 1, SILENCE).part(0, 100), SILENCE)
        >>> sum(len(part) for part in followed), followed.labels.shape, followed.digests.shape
        (100, (100,), (100, 16))

    Args:
        listed: The images, or a part of them.
        progress: The listener.
    """

    def __init__(self, listed: ListedImages, progress: Progress) -> None:
        self._reading = listed.read(progress)
        self._parts = iter(self._reading)
        self._listed = listed
        self._shape: tuple[int, ...] = ()
        self._digests: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._files: list[tuple[str, ...]] = []

    def __iter__(self) -> Iterator[LabelledImages]:
        for part in self._parts:
            self._shape = part.images.shape[1:]
            self._digests.append(digests(part.images))
            self._labels.append(part.labels)
            self._files.append(part.files)
            yield part

    def first(self) -> LabelledImages:
        """Returns the first image. It is still the first of the iteration.

        Raises:
            DataError: If there is none.
        """
        for part in self._parts:
            if len(part):
                self._parts = chain([part], self._parts)
                return part.part(range(1))
        skipped = self.skipped
        why = f"; files that could not be read: {len(skipped):,}, the first {skipped[0].file}" if skipped else ""
        raise DataError(f"The test set is empty. Add images to it. Received: {self._listed.source}{why}")

    @property
    def tally(self) -> Tally:
        """What was counted. Complete after the last image."""
        return self._reading.tally

    @property
    def labels(self) -> np.ndarray:
        """The true classes so far, `int64` of shape `(n,)`."""
        return np.concatenate([np.empty(0, np.int64), *self._labels])

    @property
    def digests(self) -> np.ndarray:
        """The digests of the images so far, `uint8` of shape `(n, 16)`."""
        return np.concatenate([np.empty((0, 16), np.uint8), *self._digests])

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the images so far, or empty."""
        return tuple(chain.from_iterable(self._files))

    @property
    def skipped(self) -> list[SkippedFile]:
        """The files that could not be read."""
        return [*self._listed.skipped, *self.tally.skipped]

    def facts(self) -> DatasetFacts:
        """Returns the facts of the images. Call it after the last image."""
        fingerprint = fingerprint_of(self.digests, self.labels)
        return facts_of_images(self._listed, self.tally, self._shape, self.labels, fingerprint)


def facts_of_images(
    listed: ListedImages, tally: Tally, shape: Sequence[int], labels: np.ndarray, fingerprint: str
) -> DatasetFacts:
    """Returns the facts of test images that are not in memory.

    Args:
        listed: Their list.
        tally: What was counted when they were read.
        shape: Height, width and channels.
        labels: The true classes, integers of shape `(n,)`.
        fingerprint: The fingerprint of images and labels.
    """
    classes = len(listed.classes)
    return DatasetFacts(
        name=listed.name,
        source=listed.source,
        fallback=None,
        classes=list(listed.classes),
        image_shape=list(shape),
        train_size=0,
        validation_size=0,
        test_size=len(labels),
        train_counts=[0] * classes,
        test_counts=np.bincount(labels, minlength=classes).tolist(),
        test_fingerprint=fingerprint,
        skipped=[*listed.skipped, *tally.skipped],
        sixteen_bit_max=tally.sixteen_bit_max,
    )
