"""Copies of images."""

from __future__ import annotations

import numpy as np

from . import pixels
from .data import Data
from .labels import chosen, others, replaced
from .registry import Plant, Planted


def _scaled(images: np.ndarray) -> np.ndarray:
    return pixels.cut(images, max(1, images.shape[1] // 16))


def _shifted(images: np.ndarray) -> np.ndarray:
    return pixels.shifted(images, max(1, images.shape[1] // 16))


KINDS = {
    "exact": lambda images: images,
    "mirrored": pixels.mirrored,
    "shifted": _shifted,
    "scaled": _scaled,
    "jpeg": lambda images: pixels.compressed(images, 60),
}


def training_images_in_the_test_set(kind: str) -> Plant:
    """Test images are replaced by changed copies of training images, with their labels."""

    def plant(data: Data, share: float, generator: np.random.Generator) -> Planted:
        places = chosen(len(data.y_test), share, generator)
        sources = generator.choice(len(data.y), len(places), replace=False)
        images = replaced(data.x_test, places, KINDS[kind](data.x[sources]))
        labels = replaced(data.y_test, places, data.y[sources])
        return Planted(data._replace(x_test=images, y_test=labels), test=places)

    return plant


def repeated_in_the_test_set(kind: str, *, relabelled: bool = False) -> Plant:
    """Test images are replaced by changed copies of other test images."""

    def plant(data: Data, share: float, generator: np.random.Generator) -> Planted:
        places, sources = _two_parts(len(data.y_test), share, generator)
        labels = data.y_test[sources]
        labels = others(labels, data.classes, generator) if relabelled else labels
        images = replaced(data.x_test, places, KINDS[kind](data.x_test[sources]))
        changed = data._replace(x_test=images, y_test=replaced(data.y_test, places, labels))
        return Planted(changed, test=np.union1d(places, sources))

    return plant


def repeated_in_the_training_set(kind: str, *, relabelled: bool = False) -> Plant:
    """Training images are replaced by changed copies of other training images."""

    def plant(data: Data, share: float, generator: np.random.Generator) -> Planted:
        places, sources = _two_parts(len(data.y), share, generator)
        labels = others(data.y[sources], data.classes, generator) if relabelled else data.y[sources]
        images = replaced(data.x, places, KINDS[kind](data.x[sources]))
        changed = data._replace(x=images, y=replaced(data.y, places, labels))
        return Planted(changed, train=np.union1d(places, sources))

    return plant


def _two_parts(count: int, share: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws two shares of so many places, without a common one."""
    drawn = generator.permutation(count)
    size = max(1, round(share * count))
    return np.sort(drawn[:size]), drawn[size : 2 * size]


def groups_in_both_sets(data: Data, share: float, generator: np.random.Generator) -> Planted:
    """A share of the test images belongs to groups of training images."""
    groups, tested = np.arange(len(data.y)) // 5, len(data.y) + np.arange(len(data.y_test)) // 5
    places = chosen(len(data.y_test), share, generator)
    tested[places] = generator.choice(groups, len(places))
    return Planted(data, test=places, groups=(groups, tested))
