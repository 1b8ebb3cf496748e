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

from lrdiag.backend.compiler import Delta, with_gradients
from lrdiag.backend.tap import Call, all_calls, exchanged
from lrdiag.explain.model import OpenedModel

_UNEXPLAINED = 0.01  # largest share of the effect of other images that may reach the scores by other paths
_ROUNDING = 1e-6  # of the scores


def forward_of(
    scores_of: Callable[[Any], Any], layers: Sequence[keras.Operation]
) -> Callable[[Any, Delta], tuple[Any, list[Any]]]:
    """The model as a function `(inputs, delta) -> (scores, features)`; `delta` is added to what the layers return.

    No gradient flows from one call of these layers to an earlier one. So the gradient at each call is that of the paths
    on which it is the last call, and their sum counts no path twice.

    Args:
        scores_of: Takes inputs and returns scores of shape `(n, classes)`; it calls the layers.
        layers: The layers to explain.
    """

    def forward(inputs: Any, delta: Delta) -> tuple[Any, list[Any]]:
        features: list[Any] = []

        def add_delta(output: Any) -> Any:
            features.append(output)
            return ops.stop_gradient(output) + delta(output)

        with exchanged(dict.fromkeys(layers, add_delta)):
            return scores_of(inputs), features

    return forward


def last_calls(opened: OpenedModel, layers: Sequence[keras.Operation]) -> list[int]:
    """The calls of the layers from which a path leads to the scores without another call of them.

    Returns:
        Indices of the calls of all these layers, in the order in which they return.
    """
    one = tree.map_structure(lambda array: array[:1], opened.sample)
    _, _, (gradients,) = with_gradients(forward_of(opened, layers), one, lambda scores: [scores])
    return [place for place, gradient in enumerate(gradients) if gradient is not None]


def outputs_of(opened: OpenedModel, layers: Sequence[keras.Operation], inputs: Any) -> list[Call]:
    """The calls of the layers for some inputs."""
    calls: list[Call] = []
    with all_calls(layers, calls.append):
        opened(inputs)
    return calls


def cover(opened: OpenedModel, layers: Sequence[keras.Operation]) -> bool:
    """Whether every path from the images to the scores leads through the layers.

    If so, other images leave the scores as they are while the layers return what they returned before.
    """
    recorded = [call.output for call in outputs_of(opened, layers, opened.sample)]
    others, scores_of_others = opened.others
    with np.errstate(invalid="ignore"):
        effect = np.nan_to_num(np.abs(scores_of_others - opened.undisturbed)).max()
    tolerance = max(_UNEXPLAINED * effect, _ROUNDING * np.nan_to_num(np.abs(opened.undisturbed)).max())

    def same_scores(inputs: Any) -> bool:
        replayed = iter(recorded)
        with exchanged(dict.fromkeys(layers, lambda _: next(replayed))):
            scores = ops.convert_to_numpy(opened(inputs))
        return np.allclose(scores, opened.undisturbed, rtol=0, atol=tolerance, equal_nan=True)

    return same_scores(others) or not same_scores(opened.sample)  # scores that are never the same prove nothing


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
