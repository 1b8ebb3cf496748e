"""Which heatmaps are made, and which picture each belongs to.

A model may take several pictures, or call the explained layer several times: a Siamese network, the frames of a video.
Each heatmap sums the calls that depend on the same pictures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from lrdiag.backend.tap import Call
from lrdiag.errors import ModelError
from lrdiag.explain.grids import grid_of
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.paths import last_calls
from lrdiag.explain.pictures import CHANNELS, Picture
from lrdiag.explain.tokens import become_tokens


@dataclass(frozen=True)
class MapPlan:
    """One heatmap of each example.

    Attributes:
        pictures: The pictures that it belongs to; several if the layer has combined them.
        calls: The calls of the explained layers whose maps it sums, as indices in the order in which they return.
    """

    pictures: tuple[Picture, ...]
    calls: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The heatmaps of each example, in the order of their pictures.

    Attributes:
        layers: The explained layers.
        called: The layer of each of their calls, in the order in which they return.
        maps: The heatmaps, at least one.
        of_tokens: Whether the layers return tokens, or maps that become tokens.
    """

    layers: tuple[keras.Operation, ...]
    called: tuple[keras.Operation, ...]
    maps: tuple[MapPlan, ...]
    of_tokens: bool


def plan_of(opened: OpenedModel, layers: Sequence[keras.Operation], pictures: Sequence[Picture]) -> Plan:
    """Finds out which calls of the layers depend on which pictures, by replacing one picture after the other.

    Args:
        opened: The model.
        layers: The layers to explain.
        pictures: The pictures to explain.

    Raises:
        ModelError: If no heatmap belongs to a picture.
    """
    steps = [step for step in opened.steps if step.layer in layers]
    called = tuple(step.layer for step in steps)
    for step in steps:
        if step.rows != 1:
            raise ModelError(
                "The explained layer must return one map for each image. "
                f"Received: the layer {step.layer.name!r}, which returns {step.rows} maps for each image: the model "
                "folds patches or frames into the batch"
            )
    of_tokens = all(become_tokens(opened, layer) for layer in layers)
    if len(called) == len(pictures) == 1:
        return Plan(tuple(layers), called, (MapPlan(tuple(pictures), (0,)),), of_tokens)
    calls = last_calls(opened, layers)
    if not calls:
        raise no_gradient(layers)
    before = opened.calls_of(layers, opened.sample)
    seen_by = _pictures_of_calls(opened, layers, pictures, before, calls)
    _refuse_parts_of_pictures(opened, layers, seen_by, before)
    together: dict[tuple[Picture, ...], list[int]] = defaultdict(list)
    for call, seen in seen_by.items():
        together[seen].append(call)
    in_order = sorted(together.items(), key=lambda item: [pictures.index(each) for each in item[0]])
    return Plan(tuple(layers), called, tuple(MapPlan(seen, tuple(calls)) for seen, calls in in_order), of_tokens)


def no_gradient(layers: Sequence[keras.Operation]) -> ModelError:
    """The error for layers to which no gradient flows from the scores."""
    names = " and ".join(repr(layer.name) for layer in layers)
    return ModelError(
        f"No gradient flows from the scores to the layer {names}. Explain a layer after the operation that stops it, "
        "such as `stop_gradient` or rounding."
    )


def _pictures_of_calls(
    opened: OpenedModel,
    layers: Sequence[keras.Operation],
    pictures: Sequence[Picture],
    before: list[Call],
    calls: Sequence[int],
) -> dict[int, tuple[Picture, ...]]:
    """The pictures that each call depends on; calls that depend on none are left out."""
    seen: dict[int, tuple[Picture, ...]] = defaultdict(tuple)
    for picture in pictures:
        after = opened.calls_of(layers, picture.replaced(opened.sample))
        for call in calls:
            if _change(before[call], after[call]).any():
                seen[call] += (picture,)
    if not seen:
        raise ModelError(
            "The explained layer must depend on the images. "
            f"Received: {' and '.join(repr(layer.name) for layer in layers)}, which does not change with them"
        )
    return seen


def _refuse_parts_of_pictures(
    opened: OpenedModel,
    layers: Sequence[keras.Operation],
    seen_by: dict[int, tuple[Picture, ...]],
    before: list[Call],
) -> None:
    """Raises if a layer is called several times with one picture, but not always with the whole of it, upright."""
    by_layer: dict[tuple[int, tuple[Picture, ...]], list[int]] = defaultdict(list)
    for call, seen in seen_by.items():
        by_layer[id(before[call].layer), seen].append(call)
    for (_, seen), calls in by_layer.items():
        if len(calls) > 1 and not _lie_over(opened, layers, calls, seen[0], before):
            raise ModelError(
                "The explained layer must be called with whole images. "
                f"Received: the layer {before[calls[0]].layer.name!r}, which is called {len(calls)} times for the same "
                "picture, with parts of it or with copies that are flipped or rotated"
            )


def _lie_over(
    opened: OpenedModel, layers: Sequence[keras.Operation], calls: list[int], picture: Picture, before: list[Call]
) -> bool:
    """Whether the features of each call follow the halves of the picture: upper and lower, left and right."""
    shape = picture.of(opened.sample).shape[1:]
    before_axes = () if shape[-1] in CHANNELS else (slice(None),)  # the channels come first
    for axis in (0, 1):
        centres = []
        middle = shape[len(before_axes) + axis] // 2
        for half in (slice(None, middle), slice(middle, None)):
            part = (*before_axes, half) if axis == 0 else (*before_axes, slice(None), half)
            after = opened.calls_of(layers, picture.replaced(opened.sample, part))
            changes = (grid_of(before[call].layer, opened)(_change(before[call], after[call])) for call in calls)
            along = [np.asarray(each).sum(axis=(0, 2 - axis, 3)) for each in changes]
            if not all(each.any() for each in along):
                return False
            centres.append([np.average(np.arange(len(each)) / len(each), weights=each) for each in along])
        if any(first >= second for first, second in zip(*centres, strict=True)):
            return False
    return True


def _change(before: Call, after: Call) -> np.ndarray:
    one, other = (keras.ops.convert_to_numpy(keras.ops.cast(each.output, "float32")) for each in (before, after))
    return np.asarray(np.abs(one - other))
