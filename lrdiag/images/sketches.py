"""Sketches of pictures: numbers that two pictures share if one shows a part of the other, pixel by pixel.

Each place of a picture has a number that depends on the 5 × 5 pixels around it and is the same in a mirrored picture.
A sketch has the least of these numbers in four random orders, with their places. Pictures whose content was mirrored or
moved by whole pixels have at least one of them in common, unless the part that they share is small.

Source: Broder, "On the resemblance and containment of documents" (1997), min-wise hashing.
"""

from __future__ import annotations

import numpy as np

_REACH = 2
_ACROSS = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35)
_DOWN = (0x27D4EB2F, 0x165667B1, 0xD3A2646D, 0xFD7046C5, 0xB55A4F09)
_ORDERS = (0x2C1B3C6D, 0x297A2D39, 0x7FEB352D, 0x846CA68B)
_LUMA = (2, 5, 1)
_EDGE = 8 * 8
"""Sum of the differences across and down, in eighths of a grey level, from which on a place has something to tell."""
SIZE = len(_ORDERS)
"""Number of values of a sketch."""
NOTHING = np.uint32(0xFFFFFFFF)
"""The number in the sketch of a picture without edges."""


def sketches(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sketches of pictures.

    Args:
        pictures: `uint8` of shape `(n, height, width, channels)`.

    Returns:
        `uint32` of shape `(n, 4)`, and the places: `int32` of shape `(n, 4, 2)`, rows and columns.
    """
    count, height, width = pictures.shape[:3]
    if min(height, width) <= 2 * _REACH:
        return np.full((count, len(_ORDERS)), NOTHING), np.zeros((count, len(_ORDERS), 2), np.int32)
    grey = _grey(pictures)
    numbers, flat = _numbers(grey), ~_edges(grey)
    least = np.empty((count, len(_ORDERS)), np.uint32)
    places = np.empty((count, len(_ORDERS), 2), np.int32)
    for order, factor in enumerate(_ORDERS):
        mixed = numbers * np.uint32(factor)
        mixed ^= mixed >> np.uint32(15)
        mixed[flat] = NOTHING
        mixed = mixed.reshape(count, -1)
        at = mixed.argmin(axis=1)
        least[:, order] = mixed[np.arange(count), at]
        places[:, order] = np.stack(np.divmod(at, width - 2 * _REACH), axis=1) + _REACH
    return least, places


def edges(pictures: np.ndarray) -> np.ndarray:
    """Where pictures have edges: `bool` of shape `(n, height - 4, width - 4)`, without two pixels on each side."""
    return _edges(_grey(pictures))


def _grey(pictures: np.ndarray) -> np.ndarray:
    if pictures.shape[-1] == 1:
        return pictures[..., 0].astype(np.uint32) * np.uint32(sum(_LUMA))
    red, green, blue = (pictures[..., channel].astype(np.uint32) for channel in range(3))
    return red * np.uint32(_LUMA[0]) + green * np.uint32(_LUMA[1]) + blue


def _numbers(grey: np.ndarray) -> np.ndarray:
    """A number for each place at which the 5 × 5 pixels fit."""
    near, far = grey[:, :, 1:-3] + grey[:, :, 3:-1], grey[:, :, :-4] + grey[:, :, 4:]
    across = grey[:, :, 2:-2] * np.uint32(_ACROSS[0]) + near * np.uint32(_ACROSS[1]) + far * np.uint32(_ACROSS[2])
    across ^= across >> np.uint32(13)
    height = grey.shape[1] - 2 * _REACH
    numbers = across[:, :height] * np.uint32(_DOWN[0])
    for row, factor in enumerate(_DOWN[1:], 1):
        numbers += across[:, row : row + height] * np.uint32(factor)
    return np.asarray(numbers ^ (numbers >> np.uint32(16)))


def _edges(grey: np.ndarray) -> np.ndarray:
    values = grey.astype(np.int32)
    across = np.abs(values[:, 2:-2, 3:-1] - values[:, 2:-2, 1:-3])
    down = np.abs(values[:, 3:-1, 2:-2] - values[:, 1:-3, 2:-2])
    return np.asarray(across + down >= _EDGE)
