"""Batches without end for a range test, out of whatever `model.fit` takes."""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lrdiag.errors import DataError


def endless_batches(x: Any, y: Any, sample_weight: Any, *, batch_size: int, skip: int) -> tuple[Any, int | None]:
    """Batches for `model.fit`, begun anew where they end, and the `steps_per_epoch` that goes with them.

    Args:
        x: Arrays, or a `tf.data.Dataset`, `keras.utils.PyDataset` or iterator of batches. An iterator is taken as it
            is: it cannot begin anew.
        y: Arrays, or `None`.
        sample_weight: An array, or `None`.
        batch_size: Examples in a batch, where `x` is an array.
        skip: Batches to leave out at the beginning.

    Raises:
        DataError: If arrays are empty or differ in length.
    """
    if _is_array(x):
        x = _shuffled_batches(tuple(part for part in (x, y, sample_weight) if part is not None), batch_size)
    if isinstance(x, tf.data.Dataset):
        return x.repeat().skip(skip), sys.maxsize
    if isinstance(x, keras.utils.PyDataset):
        return _Around(x, skip), None
    return x, None


def _is_array(x: Any) -> bool:
    return all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(x))


def _shuffled_batches(arrays: Any, batch_size: int) -> tf.data.Dataset:
    """Random batches: each example once in every pass, the passes in orders of their own.

    Keras's own shuffling draws from TensorFlow's global random state, and gives every sweep the same batches.
    """
    arrays = keras.tree.map_structure(np.asarray, keras.tree.lists_to_tuples(arrays))
    sizes = {len(array) for array in keras.tree.flatten(arrays)}
    if len(sizes) != 1 or not min(sizes):
        raise DataError(
            "Inputs, targets and weights must hold as many examples, one or more. "
            f"Received: {', '.join(map(str, sorted(sizes)))} examples"
        )
    size = sizes.pop()
    with tf.device("CPU"):  # captured by the function below, not written into its graph
        tensors = keras.tree.map_structure(tf.constant, arrays)
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
