"""Which layers lie on every path from the images to the scores.

The maps of a layer that another path goes around explain only a part of the model. So the last layers of all paths are
explained together if no single layer lies on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.base import Delta
from lrdiag.backend.engine import engine
from lrdiag.backend.tap import exchanged
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.pictures import pictures_of


def forward_of(
    model: Callable[[Any], Any], layers: Sequence[keras.Operation]
) -> Callable[[Any, Delta], tuple[Any, list[Any]]]:
    """The model as a function `(inputs, delta) -> (scores, features)`; `delta` is added to what the layers return.

    No gradient flows from one call of these layers to an earlier one. So the gradient at each call is that of the paths
    on which it is the last call, and their sum counts no path twice.

    Args:
        model: Takes inputs and returns scores of shape `(n, classes)`, perhaps with more; it calls the layers.
        layers: The layers to explain.
    """

    def forward(inputs: Any, delta: Delta) -> tuple[Any, list[Any]]:
        features: list[Any] = []

        def add_delta(output: Any) -> Any:
            features.append(output)
            return ops.stop_gradient(output) + delta(output)

        with exchanged(dict.fromkeys(layers, add_delta)):
            return model(inputs), features

    return forward


def last_calls(opened: OpenedModel, layers: Sequence[keras.Operation]) -> list[int]:
    """The calls of the layers from which a path leads to the scores without another call of them.

    Returns:
        Indices of the calls of all these layers, in the order in which they return.
    """
    one = tree.map_structure(lambda array: array[:1], opened.sample)
    forward = forward_of(opened, layers)
    _, _, (gradients,) = engine().only_shapes(lambda: engine().with_gradients(forward, one, lambda scores: [scores]))
    return [place for place, gradient in enumerate(gradients) if gradient is not None]


def cover(opened: OpenedModel, layers: Sequence[keras.Operation]) -> bool:
    """Whether every path from the images to the scores leads through the layers.

    If so, other images leave the scores as they are while the layers return what they returned before.
    """
    recorded = iter([call.output for call in opened.calls_of(layers, opened.sample)])
    others = opened.sample
    for picture in pictures_of(opened.model, opened.sample):
        others = picture.replaced(others)
    scores = opened.scores(others, dict.fromkeys(layers, lambda _: next(recorded)))
    rounding = 1e-6 * np.abs(np.nan_to_num(opened.undisturbed)).max()
    return np.allclose(scores, opened.undisturbed, rtol=0, atol=rounding, equal_nan=True)


def last_on_every_path(opened: OpenedModel, layers: Sequence[keras.Operation]) -> list[keras.Operation]:
    """Chooses layers to explain: the last one, or several if there are paths around it.

    A single layer on every path is preferred to several if its maps have the same resolution.

    Args:
        opened: The model.
        layers: Layers that can be explained, in the order in which they return.

    Returns:
        The layers, in that order; none if the scores depend on none.
    """
    last = next((layer for layer in reversed(layers) if opened.depends_on(layer)), None)
    if last is None or cover(opened, [last]):
        return [] if last is None else [last]
    layers = layers[: layers.index(last) + 1]
    calls = [step for step in opened.steps if step.layer in layers]
    ends = {id(calls[place].layer): calls[place] for place in last_calls(opened, layers)}
    if not ends:
        return [last]
    first, *others = ends.values()
    same_resolution = all(each.shape[:2] == first.shape[:2] for each in others)
    if others and same_resolution and cover(opened, [first.layer]):
        return [first.layer]
    return [each.layer for each in ends.values()]
