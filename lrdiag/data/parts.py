"""Slices of a user's data: whole batches, whose boundaries do not depend on the slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import tree

from lrdiag.backend.pipelines import is_dataset, length_of
from lrdiag.data.inputs import GivenData, labelled_length, number_of_batches
from lrdiag.errors import DataError, require_count
from lrdiag.record.arrays import LabelledImages


def count_batches(data: GivenData, batch_size: int) -> int:
    """Returns the number of batches of data that can be sliced.

    Example:
        >>> count_batches(GivenData(np.zeros((10, 4, 4, 3)), np.zeros(10, int)), batch_size=4)
        3

    Args:
        data: Arrays, a list of batches, or a `keras.utils.PyDataset` or `tf.data.Dataset` of known length.
        batch_size: Number of images in a batch if the data is arrays. Other data has its own batches.

    Raises:
        DataError: If the data is of another kind, or its length is unknown.
        SettingsError: If `batch_size` is below 1.
    """
    require_count("batch_size", batch_size)
    images = labelled_length(data)
    batches = _own_batches(data.x) if images is None else -(-images // batch_size)
    if batches is None and data.steps is not None and is_dataset(data.x):
        return data.steps
    if batches is None:
        raise DataError(
            "Data must have a known length to be evaluated in parts. Pass arrays, a list of batches, or a "
            "keras.utils.PyDataset or tf.data.Dataset of known length: `dataset.apply(tf.data.experimental."
            "assert_cardinality(batches))`, or `steps` batches of it. "
            f"Received: {type(data.x).__name__} of unknown length"
        )
    return batches if data.steps is None else min(batches, data.steps)


def batches_of(data: GivenData, batches: range, batch_size: int) -> GivenData:
    """Returns some batches of the data. The images of no other batch are read, except by a `tf.data.Dataset`.

    Example:
        >>> data = GivenData(np.arange(10).reshape(10, 1, 1, 1), np.arange(10))
        >>> batches_of(data, range(1, 3), batch_size=4).y.tolist()
        [4, 5, 6, 7, 8, 9]

    Args:
        data: As in `count_batches`.
        batches: Successive numbers of batches, less than `count_batches(data, batch_size)`.
        batch_size: As in `count_batches`.

    Raises:
        DataError: As `count_batches`, or if there are no such batches.
        SettingsError: As `count_batches`.
    """
    total = count_batches(data, batch_size)
    if batches.step != 1 or not 0 <= batches.start <= batches.stop <= total:
        raise DataError(f"A part must consist of successive batches of the data. Received: {batches} of {total}")
    if labelled_length(data) is not None:
        return _of_arrays(data, slice(batches.start * batch_size, batches.stop * batch_size))
    x, size = data.x, len(batches)
    if is_dataset(x):
        return replace(data, x=x.skip(batches.start).take(size), steps=None)
    if isinstance(x, keras.utils.PyDataset):
        return replace(data, x=_Some(x, batches), steps=None)
    return replace(data, x=x[batches.start : batches.stop], steps=None)


def _own_batches(x: Any) -> int | None:
    if is_dataset(x):
        return length_of(x)
    if isinstance(x, keras.utils.PyDataset):
        return number_of_batches(x)
    return len(x) if isinstance(x, Sequence) and not isinstance(x, str | bytes) else None


def _of_arrays(data: GivenData, places: slice) -> GivenData:
    def cut(nest: Any) -> Any:
        return None if nest is None else tree.map_structure(lambda array: array[places], nest)

    if isinstance(data.x, LabelledImages):
        return replace(data, x=data.x.part(range(*places.indices(len(data.x)))), steps=None)
    y = np.asarray(data.y)[places] if _is_plain_list(data.y) else cut(data.y)
    return replace(data, x=cut(data.x), y=y, sample_weight=cut(data.sample_weight), steps=None)


def _is_plain_list(labels: Any) -> bool:
    return isinstance(labels, list) and not any(hasattr(each, "shape") for each in labels)


class _Some(keras.utils.PyDataset):  # type: ignore[misc]
    """Some batches of a `PyDataset`."""

    def __init__(self, whole: keras.utils.PyDataset, batches: range) -> None:
        super().__init__()
        self._whole, self._batches = whole, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, place: int) -> Any:
        return self._whole[self._batches[place]]
