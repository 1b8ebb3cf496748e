"""Notices that data of unknown length has no end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import tree

from lrdiag.errors import DataError

SEEN_AGAIN = 1_000  # images in a row
MOST = 200_000  # images, more than common test sets contain
_VALUES = 64  # of an image: they tell most images apart, and are fast to compare


def with_end(batches: Iterator[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, np.ndarray]]:
    """Yields batches of inputs and labels, until they only repeat.

    They repeat if more images in a row have been given before than there are different images, and more than
    `SEEN_AGAIN`. Random batches of a finite set repeat too. Augmented images don't, so there is a limit for all.

    Raises:
        DataError: If the images repeat, or are more than `MOST`.
    """
    repeats, count = _Repeats(), 0
    for inputs, labels in batches:
        repeats.look(np.asarray(tree.flatten(inputs)[0]).reshape(len(labels), -1), labels)
        count += len(labels)
        if repeats.in_a_row > max(SEEN_AGAIN, repeats.different):
            raise no_end(f"{repeats.in_a_row:,} images in a row that were given before")
        if count > MOST:
            raise no_end(f"more than {MOST:,} images from data of unknown length")
        yield inputs, labels


class _Repeats:
    """Counts images that were given before.

    An image is compared as a whole from the second time on that some of its values occur: before, that would be slow.

    Attributes:
        in_a_row: Number of such images up to now, without another in between.
    """

    def __init__(self) -> None:
        self.in_a_row = 0
        self._parts: set[int] = set()
        self._whole: set[int] = set()

    @property
    def different(self) -> int:
        """Number of different images so far, at least."""
        return max(len(self._parts), len(self._whole))

    def look(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Counts images, an array of shape `(n, values)`, with their labels, of shape `(n,)`."""
        parts = np.ascontiguousarray(images[:, :: max(1, images.shape[1] // _VALUES)])
        for place, mark in enumerate(map(hash, zip(map(bytes, parts), labels.tolist(), strict=True))):
            whole = hash((mark, images[place].tobytes())) if mark in self._parts else None
            self.in_a_row = self.in_a_row + 1 if whole in self._whole else 0
            self._parts.add(mark)
            if whole is not None:
                self._whole.add(whole)


def no_end(received: str) -> DataError:
    """Returns the error for data without end."""
    return DataError(
        "The data must be finite. Pass the number of batches to evaluate as `steps=`, or take a part of the data with "
        f"`dataset.take(batches)` or `itertools.islice(generator, batches)`. Received: {received}"
    )
