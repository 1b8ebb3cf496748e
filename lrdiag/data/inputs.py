"""Batches of inputs and labels, out of whatever `model.evaluate` takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import tree

from lrdiag.errors import DataError
from lrdiag.record.arrays import LabelledImages

_WITHOUT_END = -1  # tf.data.INFINITE_CARDINALITY


def labelled_batches(x: Any, y: Any, batch_size: int) -> Iterator[tuple[Any, np.ndarray]]:
    """Inputs, and the `int64` classes `(n,)` that they show, batch after batch.

    Args:
        x: Arrays, `LabelledImages`, or a `tf.data.Dataset`, `keras.utils.PyDataset` or iterable of batches `(x, y)`.
        y: Labels, where `x` is arrays: class indices, or one row of a one-hot or soft label per image.
        batch_size: Images in a batch, where `x` is arrays.

    Raises:
        DataError: If there are no labels, fewer or more than images, no images, or no end to them.
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
        raise DataError("There must be one image or more. Received: no batches")


def slices(arrays: Any, batch_size: int) -> Iterator[Any]:
    """Slices of a nest of arrays.

    Raises:
        DataError: If they do not hold as many examples each, or none.
    """
    for start in range(0, _number_of_examples(arrays), batch_size):
        yield tree.map_structure(lambda array, begin=start: array[begin : begin + batch_size], arrays)


def class_indices(labels: Any) -> np.ndarray:
    """Labels as `int64` indices `(n,)`, out of indices `(n,)` or `(n, 1)`, or rows with one number per class.

    Raises:
        DataError: If they are neither.
    """
    array = np.asarray(labels)
    if array.ndim == 2:
        array = array.argmax(axis=1) if array.shape[1] > 1 else array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "buif" or (array % 1 != 0).any():
        raise DataError(
            "Labels must be class indices, of shape (n,), or one row per image. "
            f"Received: shape={array.shape}, dtype={array.dtype}"
        )
    return array.astype(np.int64)


def _labelled(batch: Any) -> tuple[Any, np.ndarray]:
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        raise DataError(
            "Explaining mistakes takes labels: give `y`, or batches `(x, y)`. "
            f"Received: {type(batch).__name__} without labels"
        )
    labelled = batch[0], class_indices(batch[1])
    _number_of_examples(labelled)
    return labelled


def _number_of_examples(arrays: Any) -> int:
    sizes = [len(array) for array in tree.flatten(arrays)]
    if len(set(sizes)) != 1 or not sizes[0]:
        raise DataError(
            "There must be one image or more, and one class for each. "
            f"Received: arrays of {' and '.join(map(str, sizes))} examples"
        )
    return sizes[0]


def _given_batches(x: Any) -> Iterator[Any]:
    if isinstance(x, keras.utils.PyDataset):
        endless = x.num_batches is None
        batches = (x[place] for place in range(x.num_batches or 0))
    else:
        endless = hasattr(x, "cardinality") and int(x.cardinality()) == _WITHOUT_END
        batches = x
    if endless:
        raise DataError("The data to explain must have an end. Take a part of it with `dataset.take(batches)`.")
    yield from batches
