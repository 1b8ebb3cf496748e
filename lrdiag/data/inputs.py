"""Batches of inputs and labels from any data that `model.evaluate` accepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import tree

from lrdiag.backend.pipelines import is_infinite
from lrdiag.errors import DataError
from lrdiag.record.arrays import LabelledImages

_ROUNDING = 0.01  # of the sum of a row of soft labels, in half precision


def labelled_batches(x: Any, y: Any, batch_size: int) -> Iterator[tuple[Any, np.ndarray]]:
    """Yields batches of inputs with their true classes, `int64` of shape `(n,)`.

    Args:
        x: Arrays, `LabelledImages`, or a `tf.data.Dataset`, `keras.utils.PyDataset` or iterable of batches `(x, y)`.
        y: Labels if `x` is arrays: class indices, or one one-hot or soft row per image.
        batch_size: Number of images in a batch if `x` is arrays.

    Raises:
        DataError: If images or labels are missing or differ in number, or the data has no end.
    """
    if isinstance(x, LabelledImages):
        x, y = x.images, x.labels
    if y is not None:
        yield from slices((x, class_indices(y)), batch_size)
        return
    batch = None
    for batch in _given_batches(x):
        yield _labelled(batch)
    if batch is None:
        raise DataError("There must be at least one image. Received: no batches")


def slices(arrays: Any, batch_size: int) -> Iterator[Any]:
    """Yields slices of `batch_size` examples at most of a nest of arrays.

    Raises:
        DataError: If the arrays differ in length or are empty.
    """
    size = _number_of_examples(arrays)
    if size <= batch_size:
        yield arrays  # a slice of a tensor is a copy
        return
    for start in range(0, size, batch_size):
        yield tree.map_structure(lambda array, begin=start: array[begin : begin + batch_size], arrays)


def pieces(batches: Iterable[Any], batch_size: int) -> Iterator[Any]:
    """Yields batches of `batch_size` examples at most: larger ones are cut.

    Args:
        batches: Nests of arrays.
        batch_size: Number of examples.
    """
    for batch in batches:
        yield from slices(batch, batch_size)


def class_indices(labels: Any) -> np.ndarray:
    """Converts labels to `int64` class indices of shape `(n,)`.

    Example:
        >>> class_indices([[0.0, 0.1, 0.9], [1.0, 0.0, 0.0]]).tolist()
        [2, 0]

    Args:
        labels: Class indices of shape `(n,)` or `(n, 1)`, or rows of shape `(n, classes)`, one-hot or soft, each of
            which sums to 1.

    Raises:
        DataError: If they are anything else, such as rows that mark several classes.
    """
    array = np.asarray(labels)
    if array.ndim == 2 and array.dtype.kind in "buif":
        array = _classes_of_rows(array) if array.shape[1] > 1 else array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "buif" or (array % 1 != 0).any():
        raise DataError(
            "Labels must be class indices, of shape (n,), or one row per image. "
            f"Received: shape={array.shape}, dtype={array.dtype}"
        )
    return array.astype(np.int64)


def _classes_of_rows(rows: np.ndarray) -> np.ndarray:
    """Returns the class of each one-hot or soft row, `int64` of shape `(n,)`."""
    numbers = rows.astype(np.float64)
    is_distribution = (numbers >= 0).all(axis=1) & (np.abs(numbers.sum(axis=1) - 1) <= _ROUNDING)
    wrong = np.flatnonzero(~is_distribution)
    if len(wrong):
        raise DataError(
            "A row of labels must be one-hot, or soft labels that sum to 1, because each image has one class. Labels "
            f"that mark several classes or none are not supported. Received: {len(wrong)} of {len(rows)} rows that "
            f"are neither, the first {_shortened(rows[wrong[0]])}"
        )
    return np.asarray(rows.argmax(axis=1))


def _shortened(row: np.ndarray) -> str:
    return np.array2string(row, separator=", ", threshold=10, edgeitems=5)


def _labelled(batch: Any) -> tuple[Any, np.ndarray]:
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        raise DataError(
            f"Evaluation needs labels. Pass `y`, or batches `(x, y)`. Received: {type(batch).__name__} without labels"
        )
    labelled = batch[0], class_indices(batch[1])
    _number_of_examples(labelled)
    return labelled


def _number_of_examples(arrays: Any) -> int:
    sizes = [len(array) for array in tree.flatten(arrays)]
    if len(set(sizes)) != 1 or not sizes[0]:
        raise DataError(
            "There must be at least one image, and one label for each. "
            f"Received: arrays of {' and '.join(map(str, sizes))} examples"
        )
    return sizes[0]


def _given_batches(x: Any) -> Iterator[Any]:
    if isinstance(x, keras.utils.PyDataset):
        endless = x.num_batches is None
        batches = (x[place] for place in range(x.num_batches or 0))
    else:
        endless = is_infinite(x)
        batches = x
    if endless:
        raise DataError("The data must be finite. Take a part of it with `dataset.take(batches)`.")
    yield from batches
