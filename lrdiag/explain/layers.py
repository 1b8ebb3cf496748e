"""Which layer to explain: the last feature map that has a height and a width."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice, takewhile
from typing import Any

import keras
from keras import ops

from lrdiag.backend.graph import parts
from lrdiag.errors import ModelError
from lrdiag.explain.model import OpenedModel, Step
from lrdiag.explain.paths import last_on_every_path

# Layers and operations that only move, subsample or rescale the map before them.
_NO_FEATURES = (
    "Pool", "Dropout", "Flatten", "Reshape", "Permute", "Transpose", "Pad", "Crop", "UpSampling", "Random", "Noise",
    "Normalization", "Rescaling", "Resiz", "InputLayer", "Identity", "Softmax", "Cast", "GetItem", "StochasticDepth",
)  # fmt: skip
_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Conv2DTranspose,
)
LAYERS_JOINED = " + "
"""Between the paths of layers that are explained together."""
_LISTED = 20  # layers that an error names


def choose_layers(opened: OpenedModel) -> list[keras.Operation]:
    """Returns the last feature map with a height and a width that the scores depend on, after its activation.

    If paths from the images to the scores go around it, such as a second backbone, the last feature maps of all paths
    are returned, or one that lies on every path and has the same resolution.

    If the last layer with weights returns one channel per class, its output is a map of logits, not of features. It and
    the layers after it are skipped if there is an earlier map.

    Raises:
        ModelError: If the network has no such feature map, or the scores depend on none.
    """
    steps = [step for step in opened.steps if _is_feature_map(opened, step)]
    steps = [step for step in steps if step.rows == 1] or steps
    if not steps or not any(isinstance(step.layer, _CONVOLUTIONS) for step in opened.steps):
        kinds = dict.fromkeys(type(step.layer).__name__ for step in opened.steps if step.is_new)
        raise ModelError(
            "Grad-CAM needs a convolution whose output has a height and a width above 1. "
            f"Received: a network of {', '.join(kinds)}"
        )
    before_logits = steps[: _logit_map(opened, steps)]
    chosen = last_on_every_path(opened, [step.layer for step in before_logits or steps])
    if chosen:
        return chosen
    raise ModelError(
        "The scores must depend on a feature map. Train the network first if its last weights are still zero. "
        "Received: a network whose scores do not change with any of its feature maps"
    )


def find_layer(opened: OpenedModel, name: str | keras.Operation) -> keras.Operation:
    """Returns the layer of that name, if it can be explained.

    Args:
        opened: The model.
        name: A layer, its name, its path through nested models, `"backbone/block5"`, or the end of its path.

    Raises:
        ModelError: If there is no such layer, or several, or it returns no feature map that the scores depend on.
    """
    found = {path: layer for path, layer in parts(opened.model) if name is layer or f"/{path}".endswith(f"/{name}")}
    exact = found.get(name) if isinstance(name, str) else None
    layers = [exact] if exact else list({id(layer): layer for layer in found.values()}.values())
    if len(layers) > 1:
        raise ModelError(f"A layer's name must be unique, or a path. Received: layer={name!r}, {' or '.join(found)}")
    if not layers:
        raise ModelError(f"The model has no layer {name!r}. {_candidates(opened)}")
    output = opened.returned_by(layers[0])
    if output is None:
        raise ModelError(f"The model never calls its layer {name!r}. {_candidates(opened)}")
    shape = tuple(getattr(output, "shape", ()))[1:]
    if not _has_extent(opened, layers[0], shape):
        raise ModelError(
            f"The explained layer must return maps of shape (n, height, width, channels) with more than one pixel. "
            f"Received: {name!r}, which returns {('n', *shape)}. {_candidates(opened)}"
        )
    if not opened.depends_on(layers[0]):
        raise ModelError(f"The scores do not depend on the layer {name!r}. {_candidates(opened)}")
    return layers[0]


def path_of(model: keras.Model, layer: keras.Operation) -> str:
    """The name of the layer after the names of the models that it is nested in."""
    return next(path for path, each in parts(model) if each is layer)


def channels_first(layer: keras.Operation, opened: OpenedModel) -> bool:
    """Whether the layer's maps are `(n, channels, height, width)`, by its data format or that of layers before it."""
    before = takewhile(lambda each: each is not layer, (step.layer for step in opened.steps))
    formats = [getattr(each, "data_format", None) for each in (layer, *reversed(list(before)))]
    return bool(next(filter(None, formats), keras.config.image_data_format()) == "channels_first")


def grid_of(layer: keras.Operation, opened: OpenedModel) -> Callable[[Any], Any]:
    """Returns a function from the layer's output to its grid, a tensor of shape `(n, height, width, channels)`."""
    return partial(ops.moveaxis, source=1 if channels_first(layer, opened) else -1, destination=-1)


def _is_feature_map(opened: OpenedModel, step: Step) -> bool:
    makes_features = isinstance(step.layer, (*_CONVOLUTIONS, keras.layers.BatchNormalization))
    passes_on = not makes_features and any(word in type(step.layer).__name__ for word in _NO_FEATURES)
    return step.is_new and not passes_on and _has_extent(opened, step.layer, step.shape)


def _has_extent(opened: OpenedModel, layer: keras.Operation, shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and min(shape[1:] if channels_first(layer, opened) else shape[:2]) > 1


def _logit_map(opened: OpenedModel, maps: list[Step]) -> int | None:
    """The index of the map of logits that the last layer with weights returns; `None` if there is none."""
    weighted = (step for step in reversed(opened.steps) if isinstance(step.layer, (*_CONVOLUTIONS, keras.layers.Dense)))
    last = next((step for step in weighted if opened.depends_on(step.layer)), None)
    if last is None or last not in maps:
        return None
    channel_axis = 0 if channels_first(last.layer, opened) else -1
    return maps.index(last) if last.shape[channel_axis] == opened.units else None


def _candidates(opened: OpenedModel) -> str:
    maps = (step.layer for step in reversed(opened.steps) if _is_feature_map(opened, step))
    serving = list(islice(filter(opened.depends_on, maps), _LISTED + 1))
    left_out = "… " if len(serving) > _LISTED else ""
    paths = [path_of(opened.model, layer) for layer in reversed(serving[:_LISTED])]
    return f"These layers can be explained: {left_out}{', '.join(paths) or 'none'}"
