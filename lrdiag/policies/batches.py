"""Batches without end for a range test, out of whatever `model.fit` takes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lrdiag.errors import DataError


def endless_batches(
    x: Any, y: Any, sample_weight: Any, *, batch_size: int | None, sweep: int, sweeps: int, batches: int
) -> tuple[Any, int | None]:
    """Batches for `model.fit`, begun anew where they end, and the `steps_per_epoch` that goes with them.

    Each of several sweeps gets batches of its own: it goes on where the last one ended, or, where a pass over the data
    is too short for all, they begin at places spread evenly over it.

    Args:
        x: Arrays, or a `tf.data.Dataset`, a `keras.utils.PyDataset`, or a loader, which gives batches each time that it
            is iterated over. An iterator is taken as it is: it cannot begin anew.
        y: Arrays, or `None`.
        sample_weight: An array, or `None`.
        batch_size: Examples in a batch, where `x` is an array; `None` takes 32, as Keras does.
        sweep: Which of the sweeps this is, from 0.
        sweeps: How many there are.
        batches: How many batches each takes.

    Raises:
        DataError: If arrays are empty or differ in length, or if targets or weights have no place.
    """
    if _is_array(x):
        _require_targets_for(sample_weight, y)
        given = {"x": x, "y": y, "sample_weight": sample_weight}
        arrays = {name: part for name, part in given.items() if part is not None}
        return _shuffled_batches(arrays, batch_size or 32).repeat().skip(sweep * batches), sys.maxsize
    _require_none(y=y, sample_weight=sample_weight, batch_size=batch_size)
    if isinstance(x, tf.data.Dataset):
        return x.repeat().skip(_beginning(int(x.cardinality()), sweep, sweeps, batches)), sys.maxsize
    if isinstance(x, keras.utils.PyDataset):
        if x.num_batches == 0:
            raise no_batch()
        return _Around(x, _beginning(x.num_batches, sweep, sweeps, batches)), None
    if not isinstance(x, Iterable):
        raise DataError(
            "Argument `x` must be arrays, a tf.data.Dataset, a keras.utils.PyDataset, or a loader or generator of "
            f"batches. Received: {type(x).__name__}"
        )
    return _given_by(x, 0 if isinstance(x, Iterator) else sweep * batches), None


def no_batch() -> DataError:
    """The error of data without a batch."""
    return DataError("A range test needs one batch or more. Received: data without any")


def require_repeatable(validation_data: Any) -> None:
    """Refuses data that cannot be measured after every update: an iterator, or a dataset without end.

    Raises:
        DataError: If it is one.
    """
    is_dataset = isinstance(validation_data, tf.data.Dataset)
    endless = is_dataset and validation_data.cardinality() == tf.data.INFINITE_CARDINALITY
    endless |= isinstance(validation_data, keras.utils.PyDataset) and validation_data.num_batches is None
    if endless or isinstance(validation_data, Iterator):
        raise DataError(
            "Argument `validation_data` is measured whole after each update, so it must end and begin anew. Give "
            f"arrays, or a dataset without `repeat()`. Received: {type(validation_data).__name__}"
        )


def _beginning(length: int | None, sweep: int, sweeps: int, batches: int) -> int:
    """Where a sweep begins: after the last one; but where a pass is too short for all, they are spread over it.

    There, one after another could all begin at the same place.
    """
    # tf.data calls unknown and endless lengths -2 and -1
    if length is not None and sweeps <= length < sweeps * batches:
        return sweep * length // sweeps
    return sweep * batches


def _is_array(x: Any) -> bool:
    leaves = keras.tree.flatten(x)
    return bool(leaves) and all(hasattr(leaf, "shape") for leaf in leaves)


def _given_by(loader: Iterable[Any], skip: int) -> Iterator[Any]:
    """The batches of a loader, begun anew where they end; an iterator then has no more to give."""
    has_given = True
    while has_given:
        has_given = False
        for batch in loader:
            has_given = True
            if skip:
                skip -= 1
            else:
                yield tuple(batch) if isinstance(batch, list) else batch


def _require_targets_for(sample_weight: Any, y: Any) -> None:
    if sample_weight is not None and y is None:
        raise DataError("Argument `sample_weight` weighs targets: give them as `y`. Received: y=None")


def _require_none(**arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise DataError(
                f"Argument `{name}` belongs to arrays. Where `x` gives batches, let each be `(inputs, targets)` or "
                f"`(inputs, targets, weights)`. Received: {name} of type {type(value).__name__}"
            )


def _shuffled_batches(arrays: dict[str, Any], batch_size: int) -> tf.data.Dataset:
    """Random batches: each example once in every pass, the passes in orders of their own.

    Keras's own shuffling draws from TensorFlow's global random state, and gives every sweep the same batches.
    """
    parts = tuple(keras.tree.map_structure(np.asarray, keras.tree.lists_to_tuples(part)) for part in arrays.values())
    sizes = [{len(array) if array.ndim else 0 for array in keras.tree.flatten(part)} for part in parts]
    if len(set.union(*sizes)) != 1 or not min(sizes[0]):
        received = (f"{name} of {', '.join(map(str, sorted(each)))}" for name, each in zip(arrays, sizes, strict=True))
        raise DataError(
            "Inputs, targets and weights must be arrays that hold as many examples, one or more; of sparse or ragged "
            f"ones make a tf.data.Dataset of batches. Received: {'; '.join(received)} examples"
        )
    (size,) = sizes[0]
    with tf.device("CPU"):  # captured by the function below, not written into its graph
        tensors = keras.tree.map_structure(tf.constant, parts)
    indices = tf.data.Dataset.range(size).shuffle(size, seed=0, reshuffle_each_iteration=True).batch(batch_size)
    return indices.map(
        lambda chosen: keras.tree.map_structure(lambda tensor: tf.gather(tensor, chosen), tensors)
    ).prefetch(tf.data.AUTOTUNE)


class _Around(keras.utils.PyDataset):  # type: ignore[misc]
    """A `PyDataset` that begins anew where it ends."""

    def __init__(self, dataset: keras.utils.PyDataset, skip: int) -> None:
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self._dataset = dataset
        self._skip = skip

    @property
    def num_batches(self) -> None:
        """Without end."""
        return None

    def __getitem__(self, index: int) -> Any:
        index += self._skip
        batches = self._dataset.num_batches
        return self._dataset[index if batches is None else index % batches]
