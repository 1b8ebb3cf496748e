"""Finds what sets the pictures of a class apart at the same place: candidates for a shortcut.

A mark that was put into the images of a class has the same values at the same place in many of them. Objects move, so
their values differ. How far a class stands out is compared with the other classes of the same pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from lrdiag.images.picture_sets import parts
from lrdiag.images.statistics import grey, laplacian

Trait = Literal["value", "rare value", "colour", "texture"]
LEVELS = 36
"""Levels that values are divided into, at most."""
_STARTS = np.array([0, 1, 4, *range(8, 249, 8), 252, 255])
"""The first value of each level of brightness. The ends are finer: a plain background has a single value."""
_LEVEL_OF_VALUE = (np.searchsorted(_STARTS, np.arange(256), side="right") - 1).astype(np.uint8)
RARE = 10.0
"""How many times as frequent as in other classes a rare value must be."""
SAME_MARK = 0.6
"""A place belongs to a mark if it stands out this much, relative to the place that stands out most."""
HALF = 0.5
"""An image shows a mark if more than this share of its places have the values of the mark."""
SMOOTH = 4
"""Levels of texture below this are smooth."""
_PICTURES = 256  # measured at a time, so that they stay in the cache of the processor


@dataclass(frozen=True)
class Mark:
    """Places with similar values in many pictures of a class.

    Attributes:
        label: The class.
        prominence: Share of the pictures of the class that have the values, less that of the other pictures, at the
            place that stands out most.
        mask: `bool` of shape `(height, width)`: the places.
        shown: `bool` of shape `(n,)`: the pictures that have the values at most of the places.
    """

    label: int
    prominence: float
    mask: np.ndarray
    shown: np.ndarray


@dataclass(frozen=True)
class Marks:
    """The marks of one trait, one for each class.

    Attributes:
        trait: What is similar.
        levels: `uint8` of shape `(n, places)`: the level of the trait at each place of each picture.
        shape: Height and width.
        excess: `float32` of shape `(classes, places)`: the share of the pictures of the class with the values, less
            that of the others.
        lowest: `uint8` of shape `(classes, places)`: the lowest level of the values.
        highest: The highest one.
    """

    trait: Trait
    levels: np.ndarray
    shape: tuple[int, int]
    excess: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray

    @property
    def prominence(self) -> np.ndarray:
        """`float32` of shape `(classes,)`: the excess at the place that stands out most."""
        return np.asarray(self.excess.max(axis=1))

    def size(self, label: int) -> int:
        """The number of places that belong to the mark of a class."""
        excess = self.excess[label]
        return int((excess >= SAME_MARK * excess.max()).sum())

    def mark(self, label: int, size: int) -> Mark:
        """Returns the `size` places of a class that stand out most."""
        places = np.argsort(-self.excess[label], kind="stable")[:size]
        levels = self.levels[:, places]
        has = (levels >= self.lowest[label, places]) & (levels <= self.highest[label, places])
        mask = np.zeros(self.excess.shape[1], bool)
        mask[places] = True
        shown = has.mean(axis=1) > HALF
        return Mark(label, float(self.prominence[label]), mask.reshape(self.shape), shown)


def find_marks(pictures: np.ndarray, labels: np.ndarray, classes: int) -> Iterator[Marks]:
    """Yields the marks of each trait.

    Args:
        pictures: `uint8` of shape `(n, height, width, 1 or 3)`.
        labels: Integers of shape `(n,)`.
        classes: Number of classes.
    """
    shape = pictures.shape[1:3]
    of_values = _Counts.of(_levels(pictures, _values), labels, classes)
    yield of_values.most_frequent("value", shape, 1.0)
    yield of_values.most_frequent("rare value", shape, RARE)
    if pictures.shape[-1] == 3:
        for channel in (0, 2):
            counts = _Counts.of(_levels(pictures, partial(_opponent, channel=channel)), labels, classes)
            yield counts.most_frequent("colour", shape, 1.0)
    texture = _Counts.of(_levels(pictures, _texture), labels, classes)
    yield texture.above("texture", shape)


def _levels(pictures: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Returns the levels of a trait at each place: `uint8` of shape `(n, places)`."""
    levels = np.empty((len(pictures), pictures.shape[1] * pictures.shape[2]), np.uint8)
    for rows in parts(len(pictures), _PICTURES):
        levels[rows] = np.clip(measure(pictures[rows]), 0, LEVELS - 1).reshape(-1, levels.shape[1])
    return levels


def _values(pictures: np.ndarray) -> np.ndarray:
    return _LEVEL_OF_VALUE[grey(pictures).round().astype(np.uint8)]


def _opponent(pictures: np.ndarray, channel: int) -> np.ndarray:
    """The difference of a channel and green, in steps of 8."""
    return np.asarray(16 + (pictures[..., channel].astype(np.float32) - pictures[..., 1]) / 8)


def _texture(pictures: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.abs(laplacian(grey(pictures)))))


@dataclass(frozen=True)
class _Counts:
    """How often each level occurs at each place: `shares` of the pictures of a class, and of all others."""

    levels: np.ndarray
    labels: np.ndarray
    counts: np.ndarray  # (classes, places, levels)

    @classmethod
    def of(cls, levels: np.ndarray, labels: np.ndarray, classes: int) -> _Counts:
        places = levels.shape[1]
        offsets = np.arange(places) * LEVELS
        counts = np.zeros((classes, places, LEVELS), np.int32)
        for label in range(classes):
            cells = levels[labels == label] + offsets
            counts[label] = np.bincount(cells.ravel(), minlength=places * LEVELS).reshape(places, LEVELS)
        return cls(levels, labels, counts)

    def shares(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yields each class that occurs, its shares and those of all other pictures, of shape `(places, levels)`."""
        total = self.counts.sum(axis=0)
        sizes = np.bincount(self.labels, minlength=len(self.counts))
        for label in np.flatnonzero((sizes > 0) & (sizes < len(self.labels))).tolist():
            own = self.counts[label]
            yield label, own / np.float32(sizes[label]), (total - own) / np.float32(len(self.labels) - sizes[label])

    def most_frequent(self, trait: Trait, shape: tuple[int, int], weight: float) -> Marks:
        """The level that is most frequent, compared with `weight` times its share in the other pictures."""
        excess, level = self._empty()
        for label, own, others in self.shares():
            difference = own - weight * others
            level[label] = difference.argmax(axis=1)
            excess[label] = difference.max(axis=1)
        lowest, highest = np.maximum(level, 1) - 1, np.minimum(level + 1, LEVELS - 1)
        return Marks(trait, self.levels, shape, excess, lowest, highest)

    def above(self, trait: Trait, shape: tuple[int, int]) -> Marks:
        """The level that the pictures of the class exceed more often than the others."""
        excess, level = self._empty()
        for label, own, others in self.shares():
            difference = np.cumsum((own - others)[:, ::-1], axis=1)[:, ::-1][:, SMOOTH:]
            level[label] = difference.argmax(axis=1) + SMOOTH
            excess[label] = difference.max(axis=1)
        return Marks(trait, self.levels, shape, excess, level, np.full_like(level, LEVELS - 1))

    def _empty(self) -> tuple[np.ndarray, np.ndarray]:
        shape = self.counts.shape[:2]
        return np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
