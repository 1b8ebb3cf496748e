"""Batches of images for Keras, over one array in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from lrdiag.backend import pipelines
from lrdiag.data.augmentation import build_augmentation
from lrdiag.data.preprocessing import preprocess
from lrdiag.data.random_batches import Preparation, random_batches
from lrdiag.data.stages import Stages, shrunk
from lrdiag.record.arrays import LabelledImages
from lrdiag.vocabulary import Preprocessing

_LARGEST_READ = 512  # images
_READ_FLOATS = 2**23


def training_batches(
    images: LabelledImages, *, batch_size: int, augment: Sequence[str], seed: int, stages: Stages | None = None
) -> Any:
    """Returns shuffled, augmented batches without end. Each pass over the images has a new random order.

    The same arguments give bit-identical batches, also in another process and on another engine.

    Example:
        ```python
        batches = training_batches(dataset.train, batch_size=256, augment=("flip", "crop"), seed=0)
        model.fit(batches, steps_per_epoch=math.ceil(len(dataset.train) / 256), epochs=10, shuffle=False)
        ```

    Args:
        images: The training images.
        batch_size: Number of images in a batch. The last batch of a pass may be smaller.
        augment: Names that `lrdiag.data.augmentation.build_augmentation` takes. Empty for no augmentation.
        seed: Random seed of the order and the augmentation.
        stages: The sizes that the images are scaled to after augmentation. `None` keeps their size.

    Returns:
        A `tf.data.Dataset` on TensorFlow, a `keras.utils.PyDataset` on other engines. Each element is a pair: images,
        `float32` of shape `(n, height, width, channels)`, values 0–255, and labels, `int64` of shape `(n,)`.
    """
    return random_batches(
        (images.images, images.labels),
        batch_size,
        seed=seed,
        prepare=Preparation(build_augmentation(augment, seed, len(images)) if augment else None, stages),
        in_floats=True,
    )


def evaluation_batches(
    images: LabelledImages, batch_size: int, size: Callable[[], tuple[int, int]] | None = None
) -> Any:
    """Returns batches in the order of `images`, without augmentation.

    Example:
        ```python
        model.evaluate(evaluation_batches(dataset.test, 1000))
        ```

    Args:
        images: The images to evaluate.
        batch_size: Number of images in a batch. The last batch may be smaller.
        size: Returns the height and width that the images are scaled to, each time that a batch is read. `None` keeps
            their size.

    Returns:
        A dataset of known length, of the kinds and with elements as in `training_batches`.
    """
    scale = None if size is None else partial(_scaled, size)
    if keras.config.backend() == "tensorflow":
        return pipelines.batches_in_order(images.images, images.labels, batch_size, scale)
    return _InOrder(images, batch_size, scale)


def _scaled(size: Callable[[], tuple[int, int]], images: np.ndarray) -> np.ndarray:
    return shrunk(images, size())


def preprocessed_batches(
    images: LabelledImages, how: Preprocessing, batch_size: int | None = None
) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    """Returns batches in the order of `images`, scaled by `lrdiag.data.preprocessing.preprocess` when they are read.

    Args:
        images: The images to evaluate.
        how: How the pixels are scaled.
        batch_size: Number of images in a batch. Defaults to at most 512, and 32 MiB of floats.

    Returns:
        Pairs: images, an array of shape `(n, height, width, channels)`, and labels, `int64` of shape `(n,)`.
    """
    fitting = min(_LARGEST_READ, max(1, _READ_FLOATS // math.prod(images.images.shape[1:])))
    return _Preprocessed(images, how, batch_size or fitting)


class _Preprocessed(Sequence[tuple[np.ndarray, np.ndarray]]):
    def __init__(self, images: LabelledImages, how: Preprocessing, batch_size: int) -> None:
        self._images, self._how, self._batch_size = images, how, batch_size

    def __len__(self) -> int:
        return -(-len(self._images) // self._batch_size)

    def __getitem__(self, place: Any) -> Any:
        if not 0 <= place < len(self):
            raise IndexError(place)
        batch = slice(place * self._batch_size, (place + 1) * self._batch_size)
        return preprocess(self._images.images[batch], self._how), self._images.labels[batch]


class _InOrder(keras.utils.PyDataset):  # type: ignore[misc]
    def __init__(
        self, images: LabelledImages, batch_size: int, scale: Callable[[np.ndarray], np.ndarray] | None
    ) -> None:
        super().__init__()
        self._images, self._batch_size, self._scale = images, batch_size, scale

    def __len__(self) -> int:
        return -(-len(self._images) // self._batch_size)

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        batch = slice(place * self._batch_size, (place + 1) * self._batch_size)
        images = self._images.images[batch]
        return (self._scale(images) if self._scale else images).astype(np.float32), self._images.labels[batch]
