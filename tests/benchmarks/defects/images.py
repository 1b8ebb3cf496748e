"""Single images that are damaged, and whole test sets that differ from the training set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import pixels
from .data import Data
from .labels import chosen, replaced
from .registry import Plant, Planted


def some(change: pixels.Change) -> Plant:
    """Changes a share of the test images."""

    def plant(data: Data, share: float, generator: np.random.Generator) -> Planted:
        places = chosen(len(data.y_test), share, generator)
        images = replaced(data.x_test, places, change(data.x_test[places], generator))
        return Planted(data._replace(x_test=images), test=places)

    return plant


def every(change: Callable[[np.ndarray, float, np.random.Generator], np.ndarray], words: str) -> Plant:
    """Changes all test images."""

    def plant(data: Data, strength: float, generator: np.random.Generator) -> Planted:
        return Planted(data._replace(x_test=change(data.x_test, strength, generator)), words=words)

    return plant


def prepared(prepare: Callable[[np.ndarray, float], np.ndarray], words: str) -> Plant:
    """Prepares the test images in another way."""

    def plant(data: Data, strength: float, generator: np.random.Generator) -> Planted:
        return Planted(data, words=words, prepare_test=lambda images: prepare(images, strength))

    return plant


QUALITY: dict[str, tuple[pixels.Change, str]] = {
    "blank": (pixels.blank, "blank-images"),
    "noise": (pixels.noise, "damaged-images"),
    "broken-off": (lambda images, _: pixels.broken_off(images), "damaged-images bordered-images blank-images"),
    "dark": (lambda images, _: pixels.darker(images, 0.12), "dark-or-bright-images"),
    "bright": (lambda images, _: pixels.rounded(255 - (255 - images) * 0.12), "dark-or-bright-images"),
    "blurred": (lambda images, _: pixels.blurred(images, images.shape[1] / 14), "blurred-images enlarged-images"),
    "enlarged": (lambda images, _: pixels.enlarged(images, 4), "enlarged-images blurred-images"),
    "bordered": (lambda images, _: pixels.bordered(images, images.shape[1] // 7, 90), "bordered-images"),
}
"""Changes of single images, and the codes of their findings."""
