"""Random batches of arrays without end, the same on every engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import keras
import numpy as np
from keras import tree

from lrdiag.backend import pipelines
from lrdiag.data.augmentation import Augmentation
from lrdiag.data.stages import Stages
from lrdiag.record.pictures import all_scaled_down

_ORDER = 0  # distinguishes the random numbers of the order from those of the augmentation, whose numbers begin with 1


@dataclass(frozen=True)
class Preparation:
    """What is done to the images of a batch.

    Attributes:
        augment: Augments them.
        stages: Scales them to the size of the stage of training.
    """

    augment: Augmentation | None = None
    stages: Stages | None = None

    def __bool__(self) -> bool:
        """Whether anything is done."""
        return self.augment is not None or self.stages is not None

    def __call__(self, number: int, of_pass: int, places: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Prepares a batch.

        Args:
            number: Number of the batch.
            of_pass: Number of the pass that it belongs to.
            places: Indices of its images.
            images: The images, `uint8` of shape `(n, height, width, channels)`.

        Returns:
            A `uint8` array of the same shape, but for height and width.
        """
        if self.augment:
            images = self.augment(int(number), int(of_pass), places, images)
        return all_scaled_down(images, *self.stages.size_at(int(number))) if self.stages else images


AS_IT_IS = Preparation()


def random_batches(
    arrays: Any,
    batch_size: int,
    *,
    seed: int,
    start: int = 0,
    prepare: Preparation = AS_IT_IS,
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
        prepare: Changes the first of the arrays, batch by batch.
        in_floats: Whether to convert the first of two arrays to `float32` then.

    Returns:
        What Keras trains on best with the engine that it runs on: a `tf.data.Dataset` or a `keras.utils.PyDataset`.
    """
    size = len(tree.flatten(arrays)[0])
    order = lru_cache(maxsize=1)(partial(_order, size, seed))
    if keras.config.backend() == "tensorflow":
        return pipelines.random_batches(
            arrays,
            order,
            batch_size,
            start=start,
            prepare=prepare or None,
            of_any_size=prepare.stages is not None,
            in_floats=in_floats,
        )
    return _RandomBatches(arrays, order, batch_size, start, prepare, in_floats)


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
        prepare: Preparation,
        in_floats: bool,
    ) -> None:
        super().__init__()
        self._arrays, self._order, self._batch_size, self._start = arrays, order, batch_size, start
        self._prepare, self._in_floats = prepare, in_floats
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
        if self._prepare:
            images, *others = batch
            batch = (self._prepare(number, of_pass, chosen, images), *others)
        if self._in_floats:
            images, labels = batch
            batch = (images.astype(np.float32), labels)
        return batch
