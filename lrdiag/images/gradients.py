"""Describes pictures by the directions of their edges and by their colours, which tell classes apart."""

from __future__ import annotations

import numpy as np

from lrdiag import opencv
from lrdiag.images.statistics import grey

SIDE = 24
"""Pictures are scaled to so many rows and columns."""
CELLS = 6
"""Rows and columns of cells with a histogram and a mean colour each."""
DIRECTIONS = 8
_CHUNK = 500
_COLOUR = 0.5
"""Weight of the colours."""
_FAINT = 8.0
"""Length of a gradient that counts as contrast. Fainter ones are taken for noise."""


def describe(pictures: np.ndarray) -> np.ndarray:
    """Measures the gradients and colours of pictures.

    Source: Dalal and Triggs, "Histograms of oriented gradients for human detection" (2005).

    Args:
        pictures: `uint8` of shape `(n, height, width, 1 or 3)`.

    Returns:
        `float32` of shape `(n, d)` with `d = 36 * (8 + channels)`.
    """
    parts = [_describe(pictures[start : start + _CHUNK]) for start in range(0, len(pictures), _CHUNK)]
    return np.concatenate(parts) if parts else np.empty((0, CELLS**2 * (DIRECTIONS + pictures.shape[-1])), np.float32)


def _describe(pictures: np.ndarray) -> np.ndarray:
    scaled = _scaled(pictures)
    colours = _means(scaled.reshape(-1, SIDE, scaled.shape[-1]).astype(np.float32), len(pictures)) / 128 - 1
    return np.concatenate([_histograms(grey(scaled)), _COLOUR * colours.reshape(len(pictures), -1)], axis=1)


def _scaled(pictures: np.ndarray) -> np.ndarray:
    count, height, width, channels = pictures.shape
    if min(height, width) >= SIDE:  # one tall image is scaled faster than many: blocks do not cross its borders
        tall = np.ascontiguousarray(pictures).reshape(count * height, width, channels)
        scaled = opencv.resize(tall, (SIDE, count * SIDE), interpolation=opencv.INTER_AREA)
        return np.asarray(scaled).reshape(count, SIDE, SIDE, channels)
    each = [opencv.resize(picture, (SIDE, SIDE), interpolation=opencv.INTER_LINEAR) for picture in pictures]
    return np.stack(each).reshape(count, SIDE, SIDE, channels)


def _means(tall: np.ndarray, count: int) -> np.ndarray:
    """The mean of each cell."""
    return np.asarray(opencv.resize(tall, (CELLS, count * CELLS), interpolation=opencv.INTER_AREA))


def _histograms(values: np.ndarray) -> np.ndarray:
    """Lengths of the gradients in each direction, relative to those in the neighbourhood of each cell."""
    from scipy.ndimage import uniform_filter

    across, down = np.zeros_like(values), np.zeros_like(values)
    np.subtract(values[:, :, 2:], values[:, :, :-2], out=across[:, :, 1:-1])
    np.subtract(values[:, 2:], values[:, :-2], out=down[:, 1:-1])
    count, half = len(values), DIRECTIONS // 2
    lengths = np.empty((count, CELLS, CELLS, DIRECTIONS), np.float32)
    for direction, angle in enumerate(np.arange(half, dtype=np.float32) * (2 * np.pi / DIRECTIONS)):
        along = (across * np.cos(angle) + down * np.sin(angle)).reshape(-1, SIDE)
        forward = _means(np.maximum(along, 0), count).reshape(count, CELLS, CELLS)
        lengths[..., direction] = forward
        lengths[..., direction + half] = forward - _means(along, count).reshape(count, CELLS, CELLS)
    energy = uniform_filter((lengths**2).sum(axis=-1), (0, 3, 3), mode="nearest")
    relative = np.maximum(lengths, 0) / (np.sqrt(energy)[..., None] + _FAINT)
    return np.asarray(np.sqrt(relative).reshape(count, -1))
