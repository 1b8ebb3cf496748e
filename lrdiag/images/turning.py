"""Whether images have a direction, and which classes look like each other if they are turned."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lrdiag.images.choosing import sample
from lrdiag.images.statistics import grey
from lrdiag.images.thumbnails import resized

Turn = Callable[[np.ndarray], np.ndarray]
"""From images of shape `(n, height, width, …)` to the turned ones."""
TURNS: dict[str, Turn] = {
    "mirrored": lambda images: images[:, :, ::-1],
    "flipped upside down": lambda images: images[:, ::-1],
    "turned by 180°": lambda images: images[:, ::-1, ::-1],
    "turned by 90°": lambda images: np.rot90(images, 1, (1, 2)),
    "turned by 270°": lambda images: np.rot90(images, 3, (1, 2)),
}
"""The turns that keep all that an image shows, by name."""
_SIDE = 12
_MOST = 1500
_NEIGHBOURS = 5
_MOSTLY, _USUALLY = 0.5, 0.75
"""Share of turned images of a class that look like another one, and share of the others that look like their own."""
_FEWEST = 10
_PENALTY = 1.0  # of ridge regression, relative to the variance


class Exchange(NamedTuple):
    """Two classes whose turned images look like each other.

    Attributes:
        labels: The classes.
        images: Number of images of both.
        share: Share of the turned images whose nearest neighbours are mostly of the other class.
    """

    labels: tuple[int, int]
    images: int
    share: float


def exchanged(pictures: np.ndarray, labels: np.ndarray, turn: Turn) -> list[Exchange]:
    """Returns the pairs of classes of which most images look like the other class once they are turned.

    An image looks like the class that most of its 5 nearest neighbours belong to. Only classes count that can be told
    in this way when they are not turned.

    Args:
        pictures: `uint8` of shape `(n, height, width, 1 or 3)`.
        labels: Integers of shape `(n,)`.
        turn: Turns pictures.
    """
    chosen = sample(0, len(pictures), _MOST)
    small, labels = _small(pictures[chosen]), labels[chosen]
    upright, turned = (_looks_like(_unit(each), _unit(small), labels) for each in (small, turn(small)))
    counts = np.bincount(labels)
    seen = np.zeros((len(counts), len(counts)), np.int64)
    np.add.at(seen, (labels, turned), 1)
    clear = [
        np.mean(upright[labels == each] == each) >= _USUALLY if counts[each] >= _FEWEST else False
        for each in range(len(counts))
    ]
    mostly = seen > _MOSTLY * counts[:, None]
    found = []
    for one, other in zip(*np.nonzero(np.triu(mostly & mostly.T, 1)), strict=True):
        if clear[one] and clear[other]:
            images = int(counts[one] + counts[other])
            share = float(seen[one, other] + seen[other, one]) / images
            found.append(Exchange((int(one), int(other)), images, share))
    return sorted(found, key=lambda each: -each.share)


def has_direction(pictures: np.ndarray, turn: Turn) -> tuple[float, int]:
    """Returns how well a linear rule tells images from turned ones.

    The rule is fitted on one half of the images and measured on the other, and the other way round.

    Args:
        pictures: `uint8` of shape `(n, height, width, 1 or 3)`.
        turn: Turns pictures.

    Returns:
        The share of the images that it gets right, 0.5 by chance, and the number of images.
    """
    few = pictures[sample(1, len(pictures), _MOST)]
    small = _scaled(few).astype(np.float32) - few.mean(axis=(0, 1, 2), dtype=np.float32)
    small /= np.maximum(small.std(axis=(1, 2, 3), keepdims=True), 1e-6)
    difference = (small - turn(small)).reshape(len(small), -1)
    halves = difference[::2], difference[1::2]
    right = sum(int((halves[1 - place] @ _rule(half) > 0).sum()) for place, half in enumerate(halves))
    return right / len(few), len(few)


def _rule(differences: np.ndarray) -> np.ndarray:
    """The weights of ridge regression that make all differences positive."""
    products = differences.T @ differences
    penalty = _PENALTY * np.trace(products) / len(products)
    return np.asarray(np.linalg.solve(products + penalty * np.eye(len(products)), differences.sum(axis=0)))


def _scaled(pictures: np.ndarray) -> np.ndarray:
    return resized(pictures, min(_SIDE, *pictures.shape[1:3]))


def _small(pictures: np.ndarray) -> np.ndarray:
    values = grey(_scaled(pictures))
    values = values - values.mean(axis=(1, 2), keepdims=True)
    return np.asarray(values / np.maximum(values.std(axis=(1, 2), keepdims=True), 1e-6), np.float32)


def _unit(images: np.ndarray) -> np.ndarray:
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))


def _looks_like(queries: np.ndarray, others: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The class of most neighbours of each query, without the image that it was made of."""
    likeness = queries @ others.T
    np.fill_diagonal(likeness, -np.inf)
    nearest = np.argpartition(-likeness, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
    votes = np.zeros((len(queries), int(labels.max()) + 1), np.int64)
    for column in nearest.T:
        votes[np.arange(len(queries)), labels[column]] += 1
    return np.asarray(votes.argmax(axis=1))
