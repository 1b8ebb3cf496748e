"""Shortcuts: marks that go with a class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import pixels
from .data import Data
from .labels import replaced
from .registry import Plant, Planted

Mark = Callable[[np.ndarray, float], np.ndarray]

MARKS: dict[str, tuple[Mark, tuple[float, float]]] = {
    "patch": (pixels.patched, (0.22, 0.12)),
    "frame": (lambda images, width: pixels.bordered(images, int(width), 230), (2, 1)),
    "watermark": (pixels.watermarked, (0.12, 0.05)),
    "tint": (pixels.tinted, (50, 25)),
    "text": (pixels.written_on, (1.0, 0.5)),
}
"""The marks, and two strengths of each."""


def marked(mark: Mark, *, test_too: bool, share: float = 0.95) -> Plant:
    """Most images of one class carry the mark, and no other images."""

    def plant(data: Data, strength: float, generator: np.random.Generator) -> Planted:
        label = int(generator.integers(data.classes))

        def with_mark(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
            places = np.flatnonzero((labels == label) & (generator.random(len(labels)) < share))
            return replaced(images, places, mark(images[places], strength))

        x = with_mark(data.x, data.y)
        x_test = with_mark(data.x_test, data.y_test) if test_too else data.x_test
        return Planted(data._replace(x=x, x_test=x_test), classes=(label,))

    return plant
