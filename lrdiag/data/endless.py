"""Notices that data of unknown length has no end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import tree

from lrdiag.errors import DataError

SEEN_AGAIN = 1_000  # images in a row
MOST = 200_000  # images, more than common test sets contain
_VALUES = 1_024  # of an image identify it


def with_end(batches: Iterator[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, np.ndarray]]:
    """Yields batches of inputs and labels, until they only repeat.

    They repeat if more images in a row have been given before than there are different images, and more than
    `SEEN_AGAIN`. Random batches of a finite set repeat too. Augmented images don't, so there is a limit for all.

    Raises:
        DataError: If the images repeat, or are more than `MOST`.
    """
    seen: set[int] = set()
    again = count = 0
    for inputs, labels in batches:
        for mark in _marks(inputs, labels):
            again = again + 1 if mark in seen else 0
            seen.add(mark)
        count += len(labels)
        if again > max(SEEN_AGAIN, len(seen)):
            raise no_end(f"{again:,} images in a row that were given before")
        if count > MOST:
            raise no_end(f"more than {MOST:,} images from data of unknown length")
        yield inputs, labels


def no_end(received: str) -> DataError:
    """Returns the error for data without end."""
    return DataError(
        "The data must be finite. Pass the number of batches to evaluate as `steps=`, or take a part of the data with "
        f"`dataset.take(batches)` or `itertools.islice(generator, batches)`. Received: {received}"
    )


def _marks(inputs: Any, labels: np.ndarray) -> Iterator[int]:
    images = np.asarray(tree.flatten(inputs)[0]).reshape(len(labels), -1)
    step = max(1, images.shape[1] // _VALUES)
    for image, label in zip(np.ascontiguousarray(images[:, ::step]), labels.tolist(), strict=True):
        yield hash((image.tobytes(), label))
