"""Augmentation as Keras layers for a `tf.data` pipeline. Each image of a batch is augmented independently.

Time per batch of 256 images of 32 × 32 × 3 (two CPU cores, TensorFlow 2.21, best of four epochs of 40 batches): without
augmentation 1.0 ms, with crop 3.6 ms, flip 8.8 ms, erase 15.9 ms, all three 24.3 ms. `keras.layers.RandomCrop` crops
each image independently only in `tf.map_fn` (35 ms) or before batching (48 ms).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from lrdiag.backend.seeds import layer_seed
from lrdiag.errors import SettingsError

CROP_PADDING = 4  # pixels
ERASE_PROBABILITY = 0.5
ERASE_AREA = (0.02, 0.4)  # share of the image
ERASE_ASPECT = (0.3, 3.3)  # height / width


@keras.saving.register_keras_serializable("lrdiag")
class RandomCrop(keras.layers.RandomCrop):  # type: ignore[misc]
    """Pads each image by reflection and crops each one at an independent random position.

    `keras.layers.RandomCrop` crops all images of a batch at the same position.

    Example:
        >>> layer = RandomCrop(32, 32, padding=4, seed=0)
        >>> layer(np.zeros((8, 32, 32, 3), "uint8"), training=True).shape.as_list()
        [8, 32, 32, 3]

    Args:
        height: Height of the crop, in pixels.
        width: Width of the crop, in pixels.
        padding: Number of reflected pixels at each edge before the crop. An image of the crop's size is shifted by
            at most this number.
        **kwargs: Arguments of `keras.layers.RandomCrop`: `seed`, `name`, `dtype`.
    """

    def __init__(self, height: int, width: int, padding: int = 0, **kwargs: Any) -> None:
        super().__init__(height, width, **kwargs)
        self.padding = padding

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        """Returns the first row and the first column of each crop: two tensors of shape `(n, 1)`."""
        if not training:
            return None
        count, height, width = self.backend.shape(data)[:3]
        seed = layer_seed(self) if seed is None else seed
        return [
            self.backend.random.randint((count, 1), -self.padding, length - wanted + self.padding + 1, seed=seed)
            for length, wanted in ((height, self.height), (width, self.width))
        ]

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        """Crops images of shape `(n, height, width, channels)`. Returns them unchanged if not `training`."""
        images = self.backend.cast(images, self.compute_dtype)
        if not training:
            return images
        numpy = self.backend.numpy
        count, height, width, channels = self.backend.shape(images)
        rows = self._reflected(transformation[0], self.height, height)
        columns = self._reflected(transformation[1], self.width, width)
        # One gather of whole pixels is ten times faster than padding and slicing each image
        pixels = (numpy.arange(count)[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
        return numpy.take(numpy.reshape(images, (-1, channels)), pixels, axis=0)

    def _reflected(self, first: Any, size: int, length: int) -> Any:
        """Returns the indices of `size` pixels from `first` on, reflected at the edges of `length` pixels."""
        numpy = self.backend.numpy
        inner = numpy.abs(first + numpy.arange(size))
        return length - 1 - numpy.abs(length - 1 - inner)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {**super().get_config(), "padding": self.padding}


@keras.saving.register_keras_serializable("lrdiag")
class RandomErasing(keras.layers.RandomErasing):  # type: ignore[misc]
    """Fills a random rectangle with random pixels (Zhong et al., Random Erasing Data Augmentation, AAAI 2020).

    `keras.layers.RandomErasing` draws height and width independently, without an aspect ratio, and its `factor` of 0.5
    is a probability drawn from [0, 0.5] for each batch. Here height and width are drawn uniformly from all pairs of
    integers within `area` and `aspect`. This is the paper's distribution, which draws area and logarithm of the aspect
    ratio uniformly until the rectangle fits: the change of variables from (area, log aspect) to (height, width) has a
    constant density.

    Example:
        >>> layer = RandomErasing(probability=1.0, seed=0)
        >>> layer(np.zeros((8, 32, 32, 3), "uint8"), training=True).shape.as_list()
        [8, 32, 32, 3]

    Args:
        probability: Probability that an image is changed.
        area: Smallest and largest area of the rectangle, as a share of the image.
        aspect: Smallest and largest height / width of the rectangle.
        **kwargs: `seed`, and arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        probability: float = ERASE_PROBABILITY,
        area: tuple[float, float] = ERASE_AREA,
        aspect: tuple[float, float] = ERASE_ASPECT,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor=(probability, probability), scale=area, **kwargs)
        self.probability, self.area, self.aspect = probability, tuple(area), tuple(aspect)

    def sizes(self, height: int, width: int) -> np.ndarray:
        """Returns every height and width that a rectangle may have: an `int32` array of shape `(k, 2)`."""
        rows, columns = np.mgrid[1 : height + 1, 1 : width + 1].reshape(2, -1)
        area, aspect = rows * columns / (height * width), rows / columns
        fits = (self.area[0] <= area) & (area <= self.area[1]) & (self.aspect[0] <= aspect) & (aspect <= self.aspect[1])
        return np.stack([rows[fits], columns[fits]], axis=1).astype(np.int32)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        """Returns which images to change, where, and the pixels to fill in, as `keras.layers.RandomErasing` does."""
        if not training:
            return None
        shape = self.backend.shape(data)
        count, height, width = shape[:3]
        random, numpy = self.backend.random, self.backend.numpy
        seed = layer_seed(self) if seed is None else seed
        sizes = self.sizes(height, width)
        chosen = numpy.take(sizes, random.randint((count,), 0, len(sizes), seed=seed), axis=0)
        inside = [
            self._inside(chosen[:, axis], length, random.uniform((count,), seed=seed))
            for axis, length in ((0, height), (1, width))
        ]
        return {
            "apply_erasing": random.uniform((count,), seed=seed) < self.probability,
            "batch_masks": inside[0][:, :, None, None] & inside[1][:, None, :, None],
            "fill_value": self.backend.cast(random.randint(shape, 0, 256, seed=seed), self.compute_dtype),
        }

    def _inside(self, size: Any, length: int, chance: Any) -> Any:
        """Places a span of each `size` uniformly within `length` pixels. Returns booleans of shape `(n, length)`."""
        pixels = self.backend.numpy.arange(length, dtype="int32")
        first = self.backend.cast(chance * self.backend.cast(length - size + 1, "float32"), "int32")[:, None]
        return (pixels >= first) & (pixels < first + size[:, None])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        config = super().get_config()
        for name in ("factor", "scale"):
            del config[name]
        return {**config, "probability": self.probability, "area": self.area, "aspect": self.aspect}


def build_augmentation(names: Sequence[str], image_shape: tuple[int, int, int], seed: int) -> Any:
    """Builds augmentation layers for `map` on a `tf.data` pipeline of batches.

    They are applied in the order crop, flip, erase, for any order of `names`. Each has its own random numbers,
    independent of the other layers. The layers are stateful: for reproducible results, call `map` without
    `num_parallel_calls`.

    Example:
        >>> augment = build_augmentation(("flip", "erase"), (32, 32, 3), seed=0)
        >>> [layer.name for layer in augment.layers]
        ['flip', 'erase']

    Args:
        names: Any of `"flip"` (mirrors half of the images), `"crop"` (shifts by up to 4 pixels) and `"erase"` (fills a
            rectangle in half of the images).
        image_shape: Height, width and channels of the images.
        seed: Random seed.

    Returns:
        A `keras.layers.Pipeline`. It takes images of shape `(n, height, width, channels)` with values 0–255, and
        returns `float32` images of the same shape and range.

    Raises:
        SettingsError: If a name is unknown.
    """
    height, width, _ = image_shape
    builders: dict[str, Callable[..., Any]] = {
        "crop": partial(RandomCrop, height, width, padding=CROP_PADDING),
        "flip": partial(keras.layers.RandomFlip, "horizontal"),
        "erase": RandomErasing,
    }
    unknown = [name for name in names if name not in builders]
    if unknown:
        raise SettingsError(f"`augment` takes {', '.join(builders)}. Received: {unknown[0]!r}")
    seeds = np.random.SeedSequence(seed).generate_state(len(builders)).tolist()
    return keras.layers.Pipeline(
        [
            build(name=name, seed=own_seed, dtype="float32")
            for (name, build), own_seed in zip(builders.items(), seeds, strict=True)
            if name in names
        ]
    )
