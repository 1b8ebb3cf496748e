"""Which layer to explain: the last feature map that still knows where things are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lrdiag.errors import ModelError
from lrdiag.explain.tap import all_tapped

# Layers whose output only moves, thins or rescales the map before it.
_NO_FEATURES = (
    "Pooling", "Dropout", "Flatten", "Reshape", "Permute", "ZeroPadding", "Cropping", "UpSampling", "Random",
    "Normalization", "Rescaling", "Resizing", "InputLayer", "Identity", "Softmax",
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One layer as the model ran it: the layer and the shape of what it returned, without the batch."""

    layer: keras.Layer
    shape: tuple[int, ...]
    is_output: bool


def trace(model: keras.Model, image_shape: tuple[int, ...]) -> list[Step]:
    """Runs the model on one blank image and notes each innermost layer in the order of execution.

    Args:
        model: Any Keras model of one input and one output.
        image_shape: `(height, width, channels)`.
    """
    innermost = [layer for layer in model._flatten_layers(include_self=False) if not list(_inner_layers(layer))]
    outputs: list[tuple[keras.Layer, Any]] = []
    with all_tapped(innermost, lambda layer, output: outputs.append((layer, output))):
        final = model(np.zeros((1, *image_shape), "uint8"), training=False)
    return [
        Step(layer, tuple(output.shape[1:]), output is final) for layer, output in outputs if hasattr(output, "shape")
    ]


def _inner_layers(layer: keras.Layer) -> Any:
    return layer._flatten_layers(include_self=False)


def softmax_layer(steps: list[Step]) -> keras.Layer | None:
    """The layer that turns the model's logits into probabilities, or `None` where none is found."""
    for step in reversed(steps):
        activation = getattr(step.layer, "activation", None)
        if step.is_output and (isinstance(step.layer, keras.layers.Softmax) or activation is keras.activations.softmax):
            return step.layer
    return None


def choose_layer(steps: list[Step], classes: int) -> keras.Layer:
    """The last feature map with spatial extent, after its activation; a map of logits is not one.

    Args:
        steps: What `trace` saw.
        classes: Number of classes: a last convolution with as many filters is the head, not a feature map.

    Raises:
        ModelError: If the network has no feature map with spatial extent.
    """
    maps = [step for step in steps if _is_feature_map(step)]
    if any(isinstance(step.layer, _CONVOLUTIONS) for step in steps):
        while maps and _is_logit_map(maps[-1], classes) and not _dense_follows(steps, maps[-1]):
            maps.pop()
        if maps:
            return maps[-1].layer
    raise ModelError(
        "Grad-CAM needs a convolution whose output has a height and a width above 1. "
        f"Received: a network of {', '.join(dict.fromkeys(type(step.layer).__name__ for step in steps))}"
    )


_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Conv2DTranspose,
)


def _is_feature_map(step: Step) -> bool:
    name = type(step.layer).__name__
    rescales = any(word in name for word in _NO_FEATURES) and name != "BatchNormalization"
    return len(step.shape) == 3 and min(step.shape[:2]) > 1 and not rescales


def _dense_follows(steps: list[Step], step: Step) -> bool:
    return any(isinstance(later.layer, keras.layers.Dense) for later in steps[steps.index(step) + 1 :])


def _is_logit_map(step: Step, classes: int) -> bool:
    return isinstance(step.layer, keras.layers.Conv2D) and step.shape[-1] == classes
