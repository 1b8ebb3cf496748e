"""Batches of images for Keras, as `tf.data` pipelines over one array in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lrdiag.data.preprocessing import preprocess
from lrdiag.record.arrays import LabelledImages
from lrdiag.vocabulary import Preprocessing

if TYPE_CHECKING:
    import tensorflow as tf


def training_batches(
    images: LabelledImages, *, batch_size: int, augment: Sequence[str], seed: int, drop_remainder: bool = False
) -> tf.data.Dataset:
    """Batches in a new random order in every epoch, changed at random as `augment` says.

    The same arguments give the same batches to the bit, epoch by epoch, in one process and the next.

    Example:
        ```python
        batches = training_batches(dataset.train, batch_size=256, augment=("flip", "crop"), seed=0)
        model.fit(batches, epochs=10, shuffle=False)  # they shuffle themselves
        ```

    Args:
        images: What to learn from.
        batch_size: Images in one batch.
        augment: Names that `lrdiag.data.augmentation.build_augmentation` takes; none leave the images as they are.
        seed: Of the order and of the changes.
        drop_remainder: Leave the last batch out where it is smaller than the others.

    Returns:
        A dataset of known length of pairs: images, `float32` of shape `(n, height, width, channels)`, values 0–255,
        and labels, `int64` of shape `(n,)`.
    """
    import tensorflow as tf

    indices = tf.data.Dataset.range(len(images)).shuffle(len(images), seed=seed, reshuffle_each_iteration=True)
    batches = indices.batch(batch_size, drop_remainder=drop_remainder).map(_look_up(images))
    if augment:
        from lrdiag.data.augmentation import build_augmentation

        with tf.device("CPU"):  # the seeds of the layers must lie where tf.data runs
            layers = build_augmentation(augment, images.images.shape[1:], seed)
        # Not in parallel: the layers count their random numbers, and batches would race for them.
        batches = batches.map(lambda pixels, labels: (layers(pixels, training=True), labels))
    return batches.prefetch(tf.data.AUTOTUNE)


def evaluation_batches(images: LabelledImages, batch_size: int) -> tf.data.Dataset:
    """Batches in the order of `images`, unchanged; the last may be smaller.

    Example:
        ```python
        model.evaluate(evaluation_batches(dataset.test, 1000))
        ```

    Args:
        images: What to judge.
        batch_size: Images in one batch.

    Returns:
        A dataset of known length, of pairs as `training_batches` returns them.
    """
    import tensorflow as tf

    indices = tf.data.Dataset.range(len(images)).batch(batch_size)
    return indices.map(_look_up(images)).prefetch(tf.data.AUTOTUNE)


def preprocessed_batches(
    images: LabelledImages, how: Preprocessing, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches in the order of `images`, scaled as `lrdiag.data.preprocessing.preprocess` says; for one pass.

    Args:
        images: What to judge.
        how: What is done to the pixels.
        batch_size: Images in one batch.
    """
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        yield preprocess(images.images[batch], how), images.labels[batch]


def _look_up(images: LabelledImages) -> Any:
    """Returns the function from indices to images and labels; the arrays are captured, not written into the graph."""
    import tensorflow as tf

    with tf.device("CPU"):
        pixels, labels = tf.constant(images.images), tf.constant(images.labels)
    return lambda indices: (tf.cast(tf.gather(pixels, indices), tf.float32), tf.gather(labels, indices))
