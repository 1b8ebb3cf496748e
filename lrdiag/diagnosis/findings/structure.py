"""Rules about the layers of a model: their activations, their width, and the resolution of their feature maps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from lrdiag.diagnosis import network
from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, Passed, listed
from lrdiag.formats import plural
from lrdiag.record.observed import Layer

SIGMOIDS = ("sigmoid", "hard_sigmoid")
STACKED_SIGMOIDS = 3
MUCH_WIDER_BEFORE = 4
"""Inputs of a bottleneck, divided by its width."""
MUCH_WIDER_AFTER = 2
"""Units of the layer after a bottleneck, divided by its width."""
DEEP = 8
"""Convolutions with windows before a feature map of one pixel, from which on a network is deep enough to afford it."""


def hidden_activation(evidence: Evidence) -> Answer:
    """Hidden layers have no activation, or one that is made for the output."""
    layers = given(evidence.layers)
    hidden = _hidden(layers)
    return _linear(layers, hidden) or _softmax_inside(layers, hidden) or _many_sigmoids(layers, hidden) or Passed()


def _hidden(layers: Sequence[Layer]) -> list[int]:
    """The layers with weights, without the last one and those of attention."""
    weighted = [
        place for place, layer in enumerate(layers) if network.multiplies(layer) and not network.is_attention(layer)
    ]
    return weighted[:-1]


def _linear(layers: Sequence[Layer], hidden: Sequence[int]) -> Found | None:
    linear = [place for place in hidden if _is_linear(layers, place)]
    wasted = [
        place
        for place in linear
        if all(_is_wasted_pair(layers[place], layers[after]) for after in network.following(layers, place))
        and not (place == hidden[0] and _is_patches(layers[place]))
    ]
    bare = linear if len(linear) == len(hidden) > 1 else wasted
    if not bare or (len(bare) < 2 and len(hidden) > 1) or 2 * len(bare) < len(hidden):
        return None
    kernel = given(layers[bare[0]].kernel)
    window = f", {kernel.window[0]}" if kernel.window else ""
    return Found(
        "The hidden layer has no activation."
        if len(hidden) == 1
        else f"{len(bare)} of {len(hidden)} hidden layers have no activation.",
        f"Between {_names(layers, bare)} and the next layer with weights, there is none either.",
        f'Add one: `keras.layers.{layers[bare[0]].kind}({kernel.units}{window}, activation="relu")`.',
        float(len(bare)),
        why="Two layers without an activation between them can't express more than one layer.",
    )


def _is_linear(layers: Sequence[Layer], place: int) -> bool:
    """Whether no activation is between a layer and all layers that receive its output."""
    return layers[place].activation == "linear" and _feeds_weights(layers, place)


def _is_wasted_pair(layer: Layer, after: Layer) -> bool:
    """Whether two linear layers could be one, and don't save weights as two."""
    first, second = given(layer.kernel), given(after.kernel)
    if first.grouped or second.grouped or "Separable" in after.kind:
        return False
    if 1 in first.window and 1 in second.window and first.window != second.window and len(first.window) > 1:
        return False  # a window of rows and one of columns, or a convolution of single pixels and one with a window
    narrowed = network.inputs_of(second)
    return narrowed >= min(network.inputs_of(first), second.units)


def _is_patches(layer: Layer) -> bool:
    """Whether a layer only cuts the image into patches and projects each: its stride is its window."""
    window = given(layer.kernel).window
    size, steps = layer.input_shape[: len(window)], layer.shape[: len(window)]
    return math.prod(window) > 1 and all(
        step * extent == pixels for step, extent, pixels in zip(steps, window, size, strict=True)
    )


def _softmax_inside(layers: Sequence[Layer], hidden: Sequence[int]) -> Found | None:
    inside = [
        place
        for place, layer in enumerate(layers)
        if layer.activation == "softmax" and not network.is_attention(layer) and _feeds_weights(layers, place)
    ]
    if not inside or not hidden:
        return None
    return Found(
        "A hidden layer ends in a softmax." if len(inside) == 1 else f"{len(inside)} hidden layers end in a softmax.",
        f"The {layers[inside[0]].shape[-1]} values that {_names(layers, inside[:1])} returns sum to 1, and the next "
        "layer with weights receives nothing else.",
        'Use a ReLU inside the network: `activation="relu"`.',
        why="A softmax makes the units compete, so few of them pass on anything, with small gradients.",
    )


def _feeds_weights(layers: Sequence[Layer], place: int) -> bool:
    after = network.following(layers, place)
    return bool(after) and not any(network.is_attention(layers[each]) for each in after)


def _many_sigmoids(layers: Sequence[Layer], hidden: Sequence[int]) -> Found | None:
    """Sigmoids of layers that follow each other without a normalization."""
    longest: list[int] = []
    runs: dict[int, list[int]] = {}
    for place in hidden:
        end = _sigmoid_of(layers, place)
        if end is None:
            continue
        run = [*runs.get(place, []), place]
        longest = max(longest, run, key=len)
        for after in network.following(layers, end, _is_transparent_but_no_normalization):
            runs[after] = run
    if len(longest) < STACKED_SIGMOIDS:
        return None
    return Found(
        f"{len(longest)} hidden layers in a row end in a sigmoid.",
        f"They are {_names(layers, longest)}, without a normalization between them.",
        'Use a ReLU inside the network: `activation="relu"`.',
        float(len(longest)),
        float(STACKED_SIGMOIDS),
        why="Each sigmoid passes at most a quarter of the gradient, so the first layers hardly learn.",
        severity="warning",
    )


def _sigmoid_of(layers: Sequence[Layer], place: int) -> int | None:
    """The call that applies a sigmoid to what a layer with weights returns: its own, or an activation after it."""
    if layers[place].activation in SIGMOIDS:
        return place
    if layers[place].activation != "linear":
        return None
    after = network.following(
        layers, place, _is_transparent_but_no_normalization, lambda layer: layer.activation not in (None, "linear")
    )
    return after[0] if len(after) == 1 and layers[after[0]].activation in SIGMOIDS else None


def _is_transparent_but_no_normalization(layer: Layer) -> bool:
    return network.is_transparent(layer) and not network.normalizes(layer)


def bottleneck(evidence: Evidence) -> Answer:
    """A layer that every path passes has too few units or channels for the number of classes."""
    layers, scores = given(evidence.layers), given(evidence.scores)
    narrowest = min(scores.units, 8) / 2
    cuts = set(network.cut_points(layers))
    weighted = [place for place, layer in enumerate(layers) if network.multiplies(layer)]
    for place, after in itertools.pairwise(weighted):
        layer, kernel = layers[place], given(layers[place].kernel)
        width = _width(layers, place)
        if place not in cuts or kernel.grouped or width >= narrowest:
            continue
        if network.inputs_of(kernel) < MUCH_WIDER_BEFORE * width or _units(layers[after]) < MUCH_WIDER_AFTER * width:
            continue
        unit = "channel" if kernel.window else "unit"
        return Found(
            f"A bottleneck of {plural(width, unit)} inside the network: {layer.name}.",
            f"It receives {network.inputs_of(kernel)} {unit}s, the next layer with weights has "
            f"{_units(layers[after])}, and the model tells {scores.units} classes apart.",
            f"Make it wider: `keras.layers.{layer.kind}({max(16, kernel.units)}"
            f'{f", {kernel.window[0]}" if kernel.window else ""}, activation="relu")`.',
            float(width),
            narrowest,
            why="All that the scores depend on has to pass through it, and most of it is lost.",
        )
    return Passed()


def _width(layers: Sequence[Layer], place: int) -> int:
    """Values of an image that the next layer tells apart: channels, or all values if a projection is flattened."""
    layer, kernel = layers[place], given(layers[place].kernel)
    flattened = network.following(layers, place, network.is_transparent, lambda each: each.kind == "Flatten")
    is_projection = math.prod(kernel.window) == 1
    return math.prod(layer.shape) if flattened and is_projection else layer.shape[-1]


def _units(layer: Layer) -> int:
    return given(layer.kernel).units


def lost_resolution(evidence: Evidence) -> Answer:
    """A convolution with a window of 3 or more receives a feature map of one pixel."""
    layers = given(evidence.layers)
    windows = [
        place
        for place, layer in enumerate(layers)
        if layer.kernel is not None and max(layer.kernel.window, default=1) > 2
    ]
    lost = [place for place in windows if math.prod(layers[place].input_shape[: len(_window(layers[place]))]) == 1]
    if not lost:
        return Passed()
    earlier = sum(place < lost[0] for place in windows)
    window = "x".join(str(extent) for extent in _window(layers[lost[0]]))
    return Found(
        f"Pooling and strides shrink the feature map to 1x1 pixels before {plural(len(lost), 'convolution')}.",
        f"The first is {layers[lost[0]].name}, after {plural(earlier, 'convolution')}: all but the centre of its "
        f"window of {window} is outside the map.",
        'Take out a pooling layer or a stride: `keras.layers.Conv2D(64, 3, padding="same")` without '
        "`keras.layers.MaxPooling2D()` after it. Or resize the images: `keras.layers.Resizing(96, 96)`.",
        float(len(lost)),
        why="Where something is in the image is lost before these layers, and most of their weights are never used.",
        severity="note" if earlier >= DEEP else None,
    )


def _window(layer: Layer) -> tuple[int, ...]:
    return given(layer.kernel).window


def _names(layers: Sequence[Layer], places: Sequence[int]) -> str:
    return listed([layers[place].name for place in places])
