"""Statistics of pictures, which tell what is unusual about an image or a set."""

from __future__ import annotations

import numpy as np

from lrdiag.record.image_table import ImageStatistics

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def grey(pictures: np.ndarray) -> np.ndarray:
    """Returns the grey values of pictures of shape `(n, height, width, 1 or 3)`: `float32` of `(n, height, width)`."""
    if pictures.shape[-1] == 1:
        return pictures[..., 0].astype(np.float32)
    return np.asarray(pictures @ _LUMA)


def statistics_of(pictures: np.ndarray) -> ImageStatistics:
    """Measures pictures.

    Args:
        pictures: `uint8` of shape `(n, height, width, 1 or 3)`.
    """
    values = grey(pictures)
    flat = pictures.reshape(len(pictures), -1, pictures.shape[-1])
    channels = flat.mean(axis=1, dtype=np.float32)
    squares = np.einsum("npc,npc->nc", flat, flat, dtype=np.float32, casting="unsafe") / flat.shape[1]
    return ImageStatistics(
        brightness=channels.mean(axis=1),
        contrast=values.std(axis=(1, 2)),
        low=flat.min(axis=(1, 2)).astype(np.float32),
        high=flat.max(axis=(1, 2)).astype(np.float32),
        saturation=_saturation(flat),
        sharpness=laplacian(values).std(axis=(1, 2)),
        channels=channels,
        deviations=np.sqrt(np.maximum(squares - channels**2, 0)),
    )


def _saturation(flat: np.ndarray) -> np.ndarray:
    if flat.shape[-1] == 1:
        return np.zeros(len(flat), np.float32)
    return np.asarray((flat.max(axis=2) - flat.min(axis=2)).mean(axis=1, dtype=np.float32))


def laplacian(values: np.ndarray) -> np.ndarray:
    """The sum of the four neighbours minus four times the value; edges are repeated."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    neighbours = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return np.asarray(neighbours - 4 * values)
