"""Which layer to explain: the last feature map that lies over the image, or the tokens of a transformer."""

from __future__ import annotations

from itertools import islice

import keras

from lrdiag.backend.graph import parts
from lrdiag.errors import ModelError
from lrdiag.explain.grids import channels_first
from lrdiag.explain.model import OpenedModel, Step
from lrdiag.explain.paths import last_on_every_path
from lrdiag.explain.tokens import last_tokens, where_tokens_enter

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

    In a transformer, the layer is returned at which the image becomes tokens.

    Raises:
        ModelError: If the network has no such feature map, or the scores depend on none.
    """
    maps = [step for step in opened.steps if _is_feature_map(opened, step)]
    lying = [step for step in maps if step in opened.grids]
    tokens = last_tokens(opened)
    if tokens and not any(opened.depends_on(step.layer) for step in lying if _is_after(opened, step, tokens)):
        return [where_tokens_enter(opened, tokens, lying).layer]
    steps = lying or [step for step in maps if step.rows != 1]
    if not steps:
        raise _no_map(opened, maps)
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
    if not _lies_over_image(opened, layers[0]):
        rule = (
            "lie over the image: its rows and columns must change with those of the image, which was measured"
            if _has_extent(opened, layers[0], shape)
            else "return maps of shape (n, height, width, channels) with more than one pixel, or one token for each "
            "patch of the image"
        )
        raise ModelError(
            f"The explained layer must {rule}. Received: {name!r}, which returns {('n', *shape)}. {_candidates(opened)}"
        )
    if not opened.depends_on(layers[0]):
        raise ModelError(f"The scores do not depend on the layer {name!r}. {_candidates(opened)}")
    return layers[0]


def path_of(model: keras.Model, layer: keras.Operation) -> str:
    """The name of the layer after the names of the models that it is nested in."""
    return next(path for path, each in parts(model) if each is layer)


def _is_feature_map(opened: OpenedModel, step: Step) -> bool:
    makes_features = isinstance(step.layer, (*_CONVOLUTIONS, keras.layers.BatchNormalization))
    passes_on = not makes_features and any(word in type(step.layer).__name__ for word in _NO_FEATURES)
    return step.is_new and not passes_on and _has_extent(opened, step.layer, step.shape)


def _is_explained(opened: OpenedModel, step: Step) -> bool:
    grid = opened.grids.get(step)
    return grid is not None and (grid.tokens is not None or _is_feature_map(opened, step))


def _has_extent(opened: OpenedModel, layer: keras.Operation, shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and min(shape[1:] if channels_first(layer, opened) else shape[:2]) > 1


def _is_after(opened: OpenedModel, step: Step, other: Step) -> bool:
    return opened.steps.index(step) > opened.steps.index(other)


def _lies_over_image(opened: OpenedModel, layer: keras.Operation) -> bool:
    """Whether the layer's maps or tokens do; for a layer that folds images into the batch, `plan_of` decides."""
    steps = [step for step in opened.steps if step.layer is layer]
    return any(step in opened.grids or (step.rows != 1 and _has_extent(opened, layer, step.shape)) for step in steps)


def _no_map(opened: OpenedModel, maps: list[Step]) -> ModelError:
    if maps:
        return ModelError(
            "Grad-CAM needs a layer whose rows and columns are those of the image. Received: a network in which a "
            f"change in one part of the image changes no part of {maps[-1].layer.name!r} most"
        )
    kinds = dict.fromkeys(type(step.layer).__name__ for step in opened.steps if step.is_new)
    return ModelError(
        "Grad-CAM needs a convolution whose output has a height and a width above 1, or a transformer with a token for "
        f"each patch of the image. Received: a network of {', '.join(kinds)}"
    )


def _logit_map(opened: OpenedModel, maps: list[Step]) -> int | None:
    """The index of the map of logits that the last layer with weights returns; `None` if there is none."""
    weighted = (step for step in reversed(opened.steps) if isinstance(step.layer, (*_CONVOLUTIONS, keras.layers.Dense)))
    last = next((step for step in weighted if opened.depends_on(step.layer)), None)
    if last is None or last not in maps:
        return None
    channel_axis = 0 if channels_first(last.layer, opened) else -1
    return maps.index(last) if last.shape[channel_axis] == opened.units else None


def _candidates(opened: OpenedModel) -> str:
    maps = (step.layer for step in reversed(opened.steps) if _is_explained(opened, step))
    serving = list(islice(filter(opened.depends_on, maps), _LISTED + 1))
    left_out = "… " if len(serving) > _LISTED else ""
    paths = [path_of(opened.model, layer) for layer in reversed(serving[:_LISTED])]
    return f"These layers can be explained: {left_out}{', '.join(paths) or 'none'}"
