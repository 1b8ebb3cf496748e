"""Finds colours that the pictures of one class have, wherever they are in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_STARTS = np.array([0, 4, *range(32, 225, 32), 252])
"""The first value of each level of a channel. The ends are finer: marks are often black, white or a pure colour."""
_LEVEL = (np.searchsorted(_STARTS, np.arange(256), side="right") - 1).astype(np.int32)
_LEVELS = len(_STARTS)
FEWEST_PIXELS = 1 / 256
"""Share of its pixels from which on a picture has a colour."""
_PICTURES = 1024  # counted at a time


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


def find_colours(pictures: np.ndarray, labels: np.ndarray, classes: int, weight: float) -> Colours:
    """Finds the colour of each class.

    Args:
        pictures: `uint8` of shape `(n, height, width, 1 or 3)`.
        labels: Integers of shape `(n,)`.
        classes: Number of classes.
        weight: How many times as frequent as in other pictures the colour must be.
    """
    channels = pictures.shape[-1]
    powers = _LEVELS ** np.arange(channels)
    bins = _LEVELS**channels
    having = np.zeros((classes, bins))
    for start in range(0, len(pictures), _PICTURES):
        part = _LEVEL[pictures[start : start + _PICTURES]] @ powers
        part = part.reshape(len(part), -1)
        counts = np.bincount((part + bins * np.arange(len(part))[:, np.newaxis]).ravel(), minlength=bins * len(part))
        has = counts.reshape(len(part), bins) >= FEWEST_PIXELS * part.shape[1]
        np.add.at(having, labels[start : start + _PICTURES], has)
    sizes = np.bincount(labels, minlength=classes)[:, np.newaxis]
    others = (having.sum(axis=0) - having) / np.maximum(len(labels) - sizes, 1)
    difference = having / np.maximum(sizes, 1) - weight * others
    levels = difference.argmax(axis=1)[:, np.newaxis] // powers % _LEVELS
    ends = np.append(_STARTS[1:], 256) - 1
    prominence = difference.max(axis=1).astype(np.float32)
    return Colours(prominence, _STARTS[levels].astype(np.uint8), ends[levels].astype(np.uint8))
