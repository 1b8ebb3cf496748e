"""Finds what the pictures of a class have in common as a whole: a pattern that was added, or a range of values."""

from __future__ import annotations

import numpy as np

from lrdiag import opencv

EDGE = 0.01
"""Share of pictures whose darkest or brightest value may lie outside of the range of a class."""


def residuals(pictures: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Returns the mean picture of each class minus that of the others.

    Args:
        pictures: `uint8` of shape `(n, height, width, channels)`.
        labels: Integers of shape `(n,)`.
        classes: Number of classes.

    Returns:
        `float32` of shape `(classes, height, width, channels)`. 0 for a class without pictures.
    """
    flat = pictures.reshape(len(pictures), -1)
    sizes = np.bincount(labels, minlength=classes)
    sums = np.stack([flat[labels == label].sum(axis=0, dtype=np.float64) for label in range(classes)])
    total = sums.sum(axis=0)
    means = np.zeros_like(sums)
    for label in np.flatnonzero((sizes > 0) & (sizes < len(labels))):
        means[label] = sums[label] / sizes[label] - (total - sums[label]) / (len(labels) - sizes[label])
    return means.reshape(classes, *pictures.shape[1:]).astype(np.float32)


def fine(maps: np.ndarray, reach: int) -> np.ndarray:
    """Returns maps minus their mean over `reach` × `reach` neighbours.

    Mean pictures of natural objects are smooth, as the objects move. A pattern that was added is not.
    """
    blurred = [opencv.blur(each, (reach, reach), borderType=opencv.BORDER_REFLECT) for each in maps]
    return np.asarray(maps - np.stack(blurred).reshape(maps.shape))


def ranges(pictures: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns how far the range of values of each class differs, and the range.

    Most pictures have nearly black and nearly white places. If a class is tinted, or its contrast is reduced, none of
    its pictures has them.

    Returns:
        `float32` of shape `(classes,)`: the largest difference between the share of the pictures of the class that go
        beyond a value, and that of the others. `float32` of shape `(classes, 2, channels)`: lowest and highest value.
    """
    lows, highs = extremes(pictures)
    both = np.stack([lows, 255 - highs], axis=1)  # (n, 2, channels): distance from black and from white
    distance = np.zeros(classes, np.float32)
    bounds = np.zeros((classes, 2, pictures.shape[-1]), np.float32)
    bounds[:, 1] = 255
    for label in range(classes):
        own = labels == label
        if own.any() and not own.all():
            distance[label] = max(
                _inward(both[own, side, channel], both[~own, side, channel])
                for side in (0, 1)
                for channel in range(both.shape[2])
            )
            bounds[label, 0] = np.quantile(lows[own], EDGE, axis=0)
            bounds[label, 1] = np.quantile(highs[own], 1 - EDGE, axis=0)
    return distance, bounds


def extremes(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lowest and the highest value of each channel, both `uint8` of shape `(n, channels)`."""
    flat = [np.ascontiguousarray(pictures[..., each]).reshape(len(pictures), -1) for each in range(pictures.shape[-1])]
    return np.stack([each.min(axis=1) for each in flat], axis=1), np.stack([each.max(axis=1) for each in flat], axis=1)


def _inward(own: np.ndarray, others: np.ndarray) -> float:
    """By how much more of the others come as near to the end of the range, at the distance where most do."""
    reached = np.cumsum(np.bincount(others, minlength=256)) / len(others)
    own_reached = np.cumsum(np.bincount(own, minlength=256)) / len(own)
    return float((reached - own_reached).max())
