"""Random batches of arrays without end, the same on every engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import keras
import numpy as np
from keras import tree

from lrdiag.backend import pipelines
from lrdiag.data.augmentation import Augmentation

_ORDER = 0  # distinguishes the random numbers of the order from those of the augmentation, whose numbers begin with 1


def random_batches(
    arrays: Any,
    batch_size: int,
    *,
    seed: int,
    start: int = 0,
    augment: Augmentation | None = None,
    in_floats: bool = False,
) -> Any:
    """Returns random batches without end: each example once in each pass, and each pass in a new order.

    A batch depends only on the arguments and its number, so it is the same on every engine and in every process.
    Keras's own shuffling draws from the random state of the engine.

    Example:
        >>> import itertools
        >>> batches = random_batches((np.arange(5),), 2, seed=0)
        >>> [len(numbers) for (numbers,) in itertools.islice(batches, 6)]
        [2, 2, 1, 2, 2, 1]

    Args:
        arrays: A nest of arrays of one length.
        batch_size: Number of examples in a batch. The last batch of a pass may be smaller.
        seed: Random seed of the order.
        start: Number of batches to leave out.
        augment: Augments the first of the arrays, batch by batch.
        in_floats: Whether to convert the first of two arrays to `float32` then.

    Returns:
        What Keras trains on best with the engine that it runs on: a `tf.data.Dataset` or a `keras.utils.PyDataset`.
    """
    size = len(tree.flatten(arrays)[0])
    order = lru_cache(maxsize=1)(partial(_order, size, seed))
    if keras.config.backend() == "tensorflow":
        return pipelines.random_batches(arrays, order, batch_size, start=start, augment=augment, in_floats=in_floats)
    return _RandomBatches(arrays, order, batch_size, start, augment, in_floats)


def _order(size: int, seed: int, number: int) -> np.ndarray:
    """Returns the indices of `size` examples in their order in a pass."""
    return np.random.default_rng([seed, _ORDER, number]).permutation(size)


class _RandomBatches(keras.utils.PyDataset):  # type: ignore[misc]
    def __init__(
        self,
        arrays: Any,
        order: Callable[[int], np.ndarray],
        batch_size: int,
        start: int,
        augment: Augmentation | None,
        in_floats: bool,
    ) -> None:
        super().__init__()
        self._arrays, self._order, self._batch_size, self._start = arrays, order, batch_size, start
        self._augment, self._in_floats = augment, in_floats
        self._per_pass = -(-len(order(0)) // batch_size)

    @property
    def num_batches(self) -> None:
        """`None`: it has no end."""
        return None

    def __getitem__(self, place: int) -> Any:
        number = self._start + place
        of_pass, first = number // self._per_pass, number % self._per_pass * self._batch_size
        chosen = self._order(of_pass)[first : first + self._batch_size]
        batch = tree.map_structure(lambda array: np.take(array, chosen, axis=0), self._arrays)
        if self._augment:
            images, *others = batch
            batch = (self._augment(number, images), *others)
        if self._in_floats:
            images, labels = batch
            batch = (images.astype(np.float32), labels)
        return batch
