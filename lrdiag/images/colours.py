"""Finds colours that the pictures of one class have, wherever they are in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_STARTS = np.array([0, 4, *range(32, 225, 32), 252])
"""The first value of each level of a channel. The ends are finer: marks are often black, white or a pure colour."""
_LEVEL = (np.searchsorted(_STARTS, np.arange(256), side="right") - 1).astype(np.int32)
_LEVELS = len(_STARTS)
FEWEST_PIXELS = 1 / 256
"""Share of its pixels from which on a picture has a colour."""
_PICTURES = 256  # counted at a time


@dataclass(frozen=True)
class Colours:
    """The colour of each class that its pictures have and others don't.

    Attributes:
        prominence: `float32` of shape `(classes,)`: share of the pictures of the class that have it, less `weight`
            times that of the others.
        lowest: `uint8` of shape `(classes, channels)`: the lowest values of its range.
        highest: The highest ones.
    """

    prominence: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray


def find_colours(pictures: np.ndarray, labels: np.ndarray, classes: int, weights: Sequence[float]) -> list[Colours]:
    """Finds the colours of each class, one for each weight.

    Args:
        pictures: `uint8` of shape `(n, height, width, 1 or 3)`.
        labels: Integers of shape `(n,)`.
        classes: Number of classes.
        weights: How many times as frequent as in other pictures the colour must be.
    """
    having = _having(pictures, labels, classes)
    sizes = np.bincount(labels, minlength=classes)[:, np.newaxis]
    own = having / np.maximum(sizes, 1)
    others = (having.sum(axis=0) - having) / np.maximum(len(labels) - sizes, 1)
    return [_most_different(own - weight * others, pictures.shape[-1]) for weight in weights]


def _having(pictures: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How many pictures of each class have each colour: `float64` of shape `(classes, colours)`."""
    codes = _LEVEL * _LEVELS ** np.arange(pictures.shape[-1], dtype=np.int32)[:, np.newaxis]
    colours = _LEVELS ** pictures.shape[-1]
    having = np.zeros((classes, colours))
    for start in range(0, len(pictures), _PICTURES):
        shown = pictures[start : start + _PICTURES]
        part = sum(code.take(shown[..., channel]) for channel, code in enumerate(codes)).reshape(len(shown), -1)
        cells = part + colours * np.arange(len(part))[:, np.newaxis]
        counts = np.bincount(cells.ravel(), minlength=colours * len(part)).reshape(len(part), colours)
        belongs = labels[start : start + _PICTURES] == np.arange(classes)[:, np.newaxis]
        having += belongs.astype(np.float32) @ (counts >= FEWEST_PIXELS * part.shape[1]).astype(np.float32)
    return having


def _most_different(difference: np.ndarray, channels: int) -> Colours:
    levels = difference.argmax(axis=1)[:, np.newaxis] // _LEVELS ** np.arange(channels) % _LEVELS
    ends = np.append(_STARTS[1:], 256) - 1
    prominence = difference.max(axis=1).astype(np.float32)
    return Colours(prominence, _STARTS[levels].astype(np.uint8), ends[levels].astype(np.uint8))
