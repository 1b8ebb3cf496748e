"""Defects of the training set as a whole, of augmentation, and of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import layers as L

from .data import Data
from .registry import Plant, Planted


def thinned(labels: np.ndarray, kept: dict[int, int]) -> np.ndarray:
    """Returns the places that remain if classes keep only so many images."""
    stays = np.ones(len(labels), bool)
    for label, count in kept.items():
        stays[np.flatnonzero(labels == label)[count:]] = False
    return np.flatnonzero(stays)


def imbalanced(data: Data, ratio: float, generator: np.random.Generator) -> Planted:
    """The largest class has `ratio` times the training images of two rare ones."""
    rare = generator.permutation(data.classes)[: min(2, data.classes - 1)]
    count = max(2, round(len(data.y) / data.classes / ratio))
    return Planted(data.keep(thinned(data.y, dict.fromkeys(rare.tolist(), count))), classes=rare.tolist()[:1])


def class_missing(data: Data, count: float, generator: np.random.Generator) -> Planted:
    """So many classes have no training image."""
    gone = generator.permutation(data.classes)[: int(count)]
    return Planted(data.keep(np.flatnonzero(~np.isin(data.y, gone))), classes=gone.tolist())


def single_class(data: Data, strength: float, generator: np.random.Generator) -> Planted:
    return Planted(data.keep(np.flatnonzero(data.y == int(generator.integers(data.classes)))))


def few_images(data: Data, count: float, generator: np.random.Generator) -> Planted:
    return Planted(data.keep(thinned(data.y, dict.fromkeys(range(data.classes), int(count)))))


def sorted_and_not_shuffled(data: Data, strength: float, generator: np.random.Generator) -> Planted:
    return Planted(data.keep(np.argsort(data.y, kind="stable")), fit={"shuffle": False})


def sorted_validation(data: Data, share: float, generator: np.random.Generator) -> Planted:
    """The last part of sorted images, so of few classes, is for validation."""
    return Planted(data.keep(np.argsort(data.y, kind="stable")), fit={"validation_split": share})


AUGMENTATIONS: dict[str, tuple[Callable[[float], list[Any]], tuple[float, float]]] = {
    "turned-over": (lambda share: [L.RandomRotation(share, fill_mode="constant")], (0.5, 0.35)),
    "covered-by-noise": (lambda count: [L.GaussianNoise(1.0) for _ in range(int(count))], (16, 4)),
    "cropped-to-a-corner": (lambda zoom: [L.RandomZoom((-zoom, -zoom + 0.1), fill_mode="constant")], (0.9, 0.7)),
}
"""Layers in front of the network, and two strengths of each. Each layer of noise is as strong as the images."""


def augmented(layers: Callable[[float], list[Any]]) -> Plant:
    """Destroys much of the training images."""

    def plant(data: Data, strength: float, generator: np.random.Generator) -> Planted:
        return Planted(data, layers=lambda: layers(strength))

    return plant


def overfitted(data: Data, count: float, generator: np.random.Generator) -> Planted:
    """So many epochs on a few images."""
    return Planted(data.keep(np.arange(600)), fit={"epochs": int(count)})


def undertrained(data: Data, count: float, generator: np.random.Generator) -> Planted:
    """So many images for one epoch."""
    return Planted(data.keep(np.arange(int(count))), fit={"epochs": 1})


def rate_times(data: Data, factor: float, generator: np.random.Generator) -> Planted:
    return Planted(data, rate=factor)


def rate_divided(data: Data, by: float, generator: np.random.Generator) -> Planted:
    return Planted(data, rate=1 / by)
