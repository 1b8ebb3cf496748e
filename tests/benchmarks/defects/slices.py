"""Groups of test images that are harder than the others, and confidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import pixels
from .data import Data
from .labels import chosen, replaced
from .registry import Plant, Planted

GROUPS: dict[str, tuple[pixels.Change, str]] = {
    "darkened": (lambda images, _: pixels.darker(images, 0.3), "dark-or-bright-images"),
    "blurred": (lambda images, _: pixels.blurred(images, images.shape[1] / 18), "blurred-images"),
    "shrunk": (lambda images, _: pixels.shrunk(images, 0.6), "bordered-images"),
    "one-source": (lambda images, generator: pixels.noisy(pixels.less_contrast(images, 0.5), 18, generator), ""),
}
"""Changes of a group, and another code that names it."""


def harder_group(change: pixels.Change, *, named: bool) -> Plant:
    """Changes a share of the test images. `named`: the metadata tell which."""

    def plant(data: Data, share: float, generator: np.random.Generator) -> Planted:
        places = chosen(len(data.y_test), share, generator)
        images = replaced(data.x_test, places, change(data.x_test[places], generator))
        site = np.where(np.isin(np.arange(len(data.y_test)), places), "Leeds", "Basel")
        lot = generator.integers(1, 6, len(site)).astype(str)
        metadata = {"site": site.tolist(), "lot": lot.tolist()} if named else None
        words = "Leeds" if named else ""
        return Planted(data._replace(x_test=images), test=places, metadata=metadata, words=words)

    return plant


def head(model: Any) -> Any:
    """Returns the last layer with a kernel."""
    return [layer for layer in model.layers if getattr(layer, "kernel", None) is not None][-1]


def logits_times(data: Data, factor: float, generator: np.random.Generator) -> Planted:
    def change(model: Any) -> None:
        for weights in head(model).weights:
            weights.assign(weights * factor)

    return Planted(data, after=change)


def logits_divided(data: Data, by: float, generator: np.random.Generator) -> Planted:
    return logits_times(data, 1 / by, generator)


def _with_bias(change: Callable[[np.ndarray], None]) -> Callable[[Any], None]:
    def apply(model: Any) -> None:
        bias = np.array(head(model).bias)
        change(bias)
        head(model).bias.assign(bias)

    return apply


def never_predicted(data: Data, by: float, generator: np.random.Generator) -> Planted:
    """The logit of one class is lowered."""
    label = int(generator.integers(data.classes))

    def lower(bias: np.ndarray) -> None:
        bias[label] -= by

    return Planted(data, classes=(label,), after=_with_bias(lower))


def threshold_moved(data: Data, by: float, generator: np.random.Generator) -> Planted:
    """The single logit of two classes is raised."""

    def lift(bias: np.ndarray) -> None:
        bias += by

    return Planted(data, after=_with_bias(lift))
