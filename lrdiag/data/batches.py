"""Batches of images for Keras, over one array in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from lrdiag.backend import pipelines
from lrdiag.data.augmentation import build_augmentation
from lrdiag.data.preprocessing import preprocess
from lrdiag.data.random_batches import Preparation, random_batches
from lrdiag.data.stages import Stages
from lrdiag.record.arrays import LabelledImages
from lrdiag.record.pictures import all_scaled_down
from lrdiag.vocabulary import Preprocessing

_LARGEST_READ = 512  # images
_READ_FLOATS = 2**23


def training_batches(
    images: LabelledImages,
    *,
    batch_size: int,
    augment: Sequence[str],
    seed: int,
    stages: Stages | None = None,
    start: int = 0,
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
        start: Number of batches to leave out.

    Returns:
        A `tf.data.Dataset` on TensorFlow, a `keras.utils.PyDataset` on other engines. Each element is a pair: images,
        `float32` of shape `(n, height, width, channels)`, values 0–255, and labels, `int64` of shape `(n,)`.
    """
    return random_batches(
        (images.images, images.labels),
        batch_size,
        seed=seed,
        start=start,
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
    return all_scaled_down(images, *size())


class PreprocessedBatches:
    """Batches of images in their order, scaled by `lrdiag.data.preprocessing.preprocess` when they are needed.

    They are pairs: images, an array of shape `(n, height, width, channels)`, and labels, `int64` of shape `(n,)`.

    Args:
        images: The images to evaluate, some at a time. They may be read while the batches are used.
        how: How the pixels are scaled.
        batch_size: Number of images in a batch. Defaults to a power of 2, as a model takes at once: at most 512, and
            about 32 MiB of floats.
    """

    def __init__(self, images: Iterable[LabelledImages], how: Preprocessing, batch_size: int | None = None) -> None:
        self._images, self._how, self._batch_size = images, how, batch_size

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        waiting: list[LabelledImages] = []
        for part in self._images:
            if not len(part):
                continue
            waiting.append(part)
            size = self._batch_size or _fitting(part.images[0].size)
            while sum(map(len, waiting)) >= size:
                joined = _joined(waiting)
                yield self._batch(joined.part(range(size)))
                waiting = [joined.part(range(size, len(joined)))]
        if sum(map(len, waiting)):
            yield self._batch(_joined(waiting))

    def _batch(self, images: LabelledImages) -> tuple[np.ndarray, np.ndarray]:
        return preprocess(images.images, self._how), images.labels


def _fitting(values: int) -> int:
    """Returns the number of images in a batch, from the number of values of an image."""
    return int(min(_LARGEST_READ, 2 ** round(math.log2(max(1, _READ_FLOATS // values)))))


def _joined(parts: Sequence[LabelledImages]) -> LabelledImages:
    if len(parts) == 1:
        return parts[0]
    images, labels = (np.concatenate([getattr(each, name) for each in parts]) for name in ("images", "labels"))
    return LabelledImages(images, labels)


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
