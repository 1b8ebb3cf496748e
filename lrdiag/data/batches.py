"""Batches of images for Keras, as `tf.data` pipelines over one array in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lrdiag.backend.pipelines import steady
from lrdiag.data.preprocessing import preprocess
from lrdiag.record.arrays import LabelledImages
from lrdiag.vocabulary import Preprocessing

if TYPE_CHECKING:
    import tensorflow as tf


_LARGEST_READ = 512  # images
_READ_FLOATS = 2**23


def training_batches(images: LabelledImages, *, batch_size: int, augment: Sequence[str], seed: int) -> tf.data.Dataset:
    """Returns shuffled, augmented batches, in a new random order in each epoch.

    The same arguments give bit-identical batches in each epoch, also in another process.

    Example:
        ```python
        batches = training_batches(dataset.train, batch_size=256, augment=("flip", "crop"), seed=0)
        model.fit(batches, epochs=10, shuffle=False)  # the dataset shuffles itself
        ```

    Args:
        images: The training images.
        batch_size: Number of images in a batch. The last batch may be smaller.
        augment: Names that `lrdiag.data.augmentation.build_augmentation` takes. Empty for no augmentation.
        seed: Random seed of the order and the augmentation.

    Returns:
        A dataset of known length. Each element is a pair: images, `float32` of shape `(n, height, width, channels)`,
        values 0–255, and labels, `int64` of shape `(n,)`.
    """
    import tensorflow as tf

    indices = tf.data.Dataset.range(len(images)).shuffle(len(images), seed=seed, reshuffle_each_iteration=True)
    batches = indices.batch(batch_size).map(_look_up(images))
    if augment:
        from lrdiag.data.augmentation import build_augmentation

        with tf.device("CPU"):  # tf.data runs on the CPU, so the seeds of the layers must be there too
            layers = build_augmentation(augment, images.images.shape[1:], seed)
        # Not in parallel: the layers count their random numbers, and parallel batches would race for them.
        batches = batches.map(lambda pixels, labels: (layers(pixels, training=True), labels))
    return steady(batches)


def evaluation_batches(images: LabelledImages, batch_size: int) -> tf.data.Dataset:
    """Returns batches in the order of `images`, without augmentation.

    Example:
        ```python
        model.evaluate(evaluation_batches(dataset.test, 1000))
        ```

    Args:
        images: The images to evaluate.
        batch_size: Number of images in a batch. The last batch may be smaller.

    Returns:
        A dataset of known length, with elements as in `training_batches`.
    """
    import tensorflow as tf

    return steady(tf.data.Dataset.range(len(images)).batch(batch_size).map(_look_up(images)))


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


def _look_up(images: LabelledImages) -> Any:
    """Returns the function from indices to images and labels. It captures the arrays outside of the graph."""
    import tensorflow as tf

    with tf.device("CPU"):
        pixels, labels = tf.constant(images.images), tf.constant(images.labels)
    return lambda indices: (tf.cast(tf.gather(pixels, indices), tf.float32), tf.gather(labels, indices))
