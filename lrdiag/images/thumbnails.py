"""Pictures of one small size, and windows of them."""

from __future__ import annotations

from functools import cache

import numpy as np

from lrdiag import opencv

_COLOURS = np.array([[0.299, 0.587, 0.114], [1, 0, -1], [-0.5, 1, -0.5]], np.float32)
"""Grey, and two differences of channels."""


def resized(pictures: np.ndarray, side: int) -> np.ndarray:
    """Returns pictures of `side` × `side` pixels: `uint8` of shape `(n, side, side, channels)`."""
    count, height, width, channels = pictures.shape
    if (height, width) == (side, side):
        return pictures
    if (height, width) == (2 * side, 2 * side):  # all at once, because each result is the mean of four pixels
        tall = np.ascontiguousarray(pictures).reshape(2 * count * side, 2 * side, channels)
        halved = opencv.resize(tall, (side, count * side), interpolation=opencv.INTER_AREA)
        return np.asarray(halved).reshape(count, side, side, channels)
    method = opencv.INTER_AREA if min(height, width) >= side else opencv.INTER_LINEAR
    small = np.empty((count, side, side, channels), np.uint8)
    for row, picture in enumerate(pictures):
        small[row] = opencv.resize(picture, (side, side), interpolation=method).reshape(side, side, channels)
    return small


def grey_levels(pictures: np.ndarray) -> np.ndarray:
    """Rounded grey values of pictures: `float32` of shape `(n, height, width)`."""
    count, height, width, channels = pictures.shape
    if channels == 1 or not count:
        return pictures[..., 0].astype(np.float32)
    tall = np.ascontiguousarray(pictures).reshape(count * height, width, channels)
    return np.asarray(opencv.cvtColor(tall, opencv.COLOR_RGB2GRAY)).reshape(count, height, width).astype(np.float32)


def planes(pictures: np.ndarray) -> list[np.ndarray]:
    """Grey values, and for colour pictures two differences of channels: `float32` arrays of shape `(n, pixels)`."""
    count, height, width, channels = pictures.shape
    tall = np.ascontiguousarray(pictures).reshape(count * height, width, channels).astype(np.float32)
    if channels == 1:
        return [tall.reshape(count, height * width)]
    mixed = opencv.split(opencv.transform(tall, _COLOURS))
    return [np.asarray(each).reshape(count, height * width) for each in mixed]


@cache
def window(side: int, scale: float, down: float, right: float, out: int) -> np.ndarray:
    """Returns the matrix that cuts a window out of pictures and resizes it.

    Args:
        side: Height and width of the pictures, in pixels.
        scale: Height and width of the window, as a share of the picture.
        down: How far below the centre the centre of the window is, as a share of the height.
        right: The same to the right.
        out: Height and width of the result, in pixels.

    Returns:
        `float32` of shape `(side², out²)`, by which flattened pictures are multiplied. Each result is a Gaussian mean
        as wide as a pixel of the result.
    """
    rows, columns = (_means(side, scale, shift, out) for shift in (down, right))
    return np.kron(rows, columns).T.astype(np.float32)


def _means(side: int, scale: float, shift: float, out: int) -> np.ndarray:
    centres = side * (0.5 + shift + scale * ((np.arange(out) + 0.5) / out - 0.5)) - 0.5
    spread = max(0.5, side * scale / out / 2)
    weights = np.exp(-0.5 * ((np.arange(side) - np.clip(centres, 0, side - 1)[:, None]) / spread) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
