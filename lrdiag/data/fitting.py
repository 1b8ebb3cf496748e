"""Converts images of any size to the size and the channels that the model takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lrdiag import opencv
from lrdiag.record.arrays import LabelledImages

DEFAULT_SIZE = (32, 32)


def fit(image: npt.NDArray[Any], size: tuple[int, int], channels: int) -> npt.NDArray[Any]:
    """Crops the centre of `image` to the proportions of `size`, scales it, and converts its channels.

    Shrinking averages pixels, and enlarging interpolates linearly. Transparency is dropped.

    Example:
        >>> fit(np.zeros((50, 90), np.uint8), size=(20, 48), channels=3).shape
        (20, 48, 3)

    Args:
        image: `uint8` of shape `(height, width)` or `(height, width, channels)`, with 1 (grey), 3 (red, green, blue)
            or 4 channels (the fourth is opacity).
        size: Height and width, in pixels.
        channels: 1 or 3.

    Returns:
        `uint8` of shape `(*size, channels)`.
    """
    return _convert(_scale(image, size), channels).reshape(*size, channels)


def fit_all(images: LabelledImages, size: tuple[int, int] | None, channels: int) -> LabelledImages:
    """Applies `fit` to every image. If `size` is `None`, the size stays as it is.

    Example:
        >>> images = LabelledImages(np.zeros((5, 28, 28, 1), np.uint8), np.arange(5))
        >>> fit_all(images, size=(14, 14), channels=3).images.shape
        (5, 14, 14, 3)
    """
    height, width = size or images.images.shape[1:3]
    if images.images.shape[1:] == (height, width, channels) or not len(images):
        return images
    fitted = np.empty((len(images), height, width, channels), np.uint8)
    for index, image in enumerate(images.images):
        fitted[index] = fit(image, (height, width), channels)
    return LabelledImages(fitted, images.labels, images.files)


def _scale(image: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    (height, width), (wanted_height, wanted_width) = image.shape[:2], size
    if (height, width) == size:
        return image
    scale = min(height / wanted_height, width / wanted_width)
    rows, columns = max(1, round(wanted_height * scale)), max(1, round(wanted_width * scale))
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = image[top : top + rows, left : left + columns]
    interpolation = opencv.INTER_AREA if scale > 1 else opencv.INTER_LINEAR
    return np.asarray(opencv.resize(middle, (wanted_width, wanted_height), interpolation=interpolation))


def _convert(image: npt.NDArray[Any], channels: int) -> npt.NDArray[Any]:
    stored = image.shape[2] if image.ndim == 3 else 1
    conversions = {
        (1, 3): opencv.COLOR_GRAY2RGB,
        (3, 1): opencv.COLOR_RGB2GRAY,
        (4, 1): opencv.COLOR_RGBA2GRAY,
        (4, 3): opencv.COLOR_RGBA2RGB,
    }
    return image if stored == channels else np.asarray(opencv.cvtColor(image, conversions[stored, channels]))
