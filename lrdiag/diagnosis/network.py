"""Questions about the graph of a model: what follows a layer, what lies between two layers, what every path passes.

All functions take the observed calls of the layers in the order in which they ran. Where a tensor comes from an
operation that was not observed, the answer is "not known", which is `None` or an empty list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from lrdiag.record.observed import Kernel, Layer

_MULTIPLYING = {
    "Dense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "SeparableConv1D",
    "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D", "EinsumDense",
}  # fmt: skip
_NORMALIZING = {
    "BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization", "UnitNormalization",
    "SpectralNormalization",
}  # fmt: skip
_SAME_VALUES = {"Flatten", "Reshape", "Permute", "Identity", "ActivityRegularization"}
_POOLING = {
    f"{extent}{kind}Pooling{axes}D" for extent in ("", "Global") for kind in ("Max", "Average") for axes in (1, 2, 3)
}  # fmt: skip
_RESIZING = {
    f"{kind}{axes}D" for kind in ("ZeroPadding", "Cropping", "UpSampling") for axes in (1, 2, 3)
}  # fmt: skip

Chooses = Callable[[Layer], bool]


def multiplies(layer: Layer) -> bool:
    """Whether it is a layer of Keras that multiplies its input with weights: a dense layer or a convolution."""
    return layer.kernel is not None and layer.kind in _MULTIPLYING


def normalizes(layer: Layer) -> bool:
    """Whether it is a normalization."""
    return layer.kind in _NORMALIZING


def drops(layer: Layer) -> bool:
    """Whether it is a dropout."""
    return layer.rate is not None and layer.rate > 0


def keeps_values(layer: Layer) -> bool:
    """Whether it returns the values that it receives, perhaps in another shape or with some set to 0."""
    is_linear = layer.kind == "Activation" and layer.activation == "linear"
    return layer.kind in _SAME_VALUES or layer.rate is not None or is_linear


def is_transparent(layer: Layer) -> bool:
    """Whether it stands between two layers without doing what an activation does."""
    return keeps_values(layer) or normalizes(layer) or layer.kind in _POOLING or layer.kind in _RESIZING


def is_attention(layer: Layer) -> bool:
    """Whether it is a part of an attention layer."""
    return layer.kind == "EinsumDense" or "attention" in layer.parent.lower()


def inputs_of(kernel: Kernel) -> int:
    """Number of channels that one unit receives at a place: all inputs of a dense layer."""
    return kernel.fan_in // math.prod(kernel.window)


def consumers(layers: Sequence[Layer]) -> list[list[int]]:
    """Returns, for each call, the places of the calls that receive its output."""
    found: list[list[int]] = [[] for _ in layers]
    for place, layer in enumerate(layers):
        for source in layer.sources:
            if source >= 0:
                found[source].append(place)
    return found


def following(
    layers: Sequence[Layer], place: int, through: Chooses = is_transparent, to: Chooses = multiplies
) -> list[int]:
    """Returns the calls that receive the output of a call through nothing but certain layers.

    Args:
        layers: The calls.
        place: Place of the call.
        through: The layers that may stand between.
        to: The layers to return.

    Returns:
        Their places. Empty if anything else receives the output, or if that is not known.
    """
    used_by = consumers(layers)
    found: list[int] = []
    reached = [place]
    while reached:
        direct = used_by[reached.pop()]
        if not direct or any(len(layers[each].sources) > 1 for each in direct):
            return []
        found += [each for each in direct if to(layers[each])]
        others = [each for each in direct if not to(layers[each])]
        if not all(through(layers[each]) for each in others):
            return []
        reached += others
    return sorted(set(found))


def preceding(layers: Sequence[Layer], place: int, through: Chooses = keeps_values) -> int | None:
    """Returns the place of the call whose output a call receives through nothing but certain layers, or `None`."""
    while len(layers[place].sources) == 1 and layers[place].sources[0] >= 0:
        place = layers[place].sources[0]
        if not through(layers[place]):
            return place
    return None


def last_call(layers: Sequence[Layer], units: int) -> int | None:
    """Returns the place of the call that returns the scores; `None` if the model has several outputs.

    Args:
        layers: The calls.
        units: Number of scores for each image.
    """
    last = len(layers) - 1
    if last < 0 or math.prod(layers[last].shape) != units:
        return None
    used_by = consumers(layers)
    after = max((place for place, layer in enumerate(layers) if min(layer.sources, default=0) < -1), default=-1)
    is_other_output = any(not used_by[place] and place > after for place in range(last))
    return None if is_other_output else last


def ending(layers: Sequence[Layer], units: int) -> list[int]:
    """Returns the calls from the last layer with weights to the scores, as far as they form a chain.

    The list is empty if it is not known which call returns the scores.
    """
    place = last_call(layers, units)
    chain: list[int] = []
    while place is not None:
        chain.insert(0, place)
        layer = layers[place]
        is_link = is_transparent(layer) or (layer.kernel is None and layer.activation is not None)
        sources = layer.sources if is_link else ()
        place = sources[0] if len(sources) == 1 and sources[0] >= 0 else None
    return chain


def last_activation(layers: Sequence[Layer], units: int) -> str | None:
    """Returns the name of the function whose values are the scores: `"linear"` without one, `None` if not known."""
    for place in reversed(ending(layers, units)):
        layer = layers[place]
        if multiplies(layer) or layer.activation not in (None, "linear"):
            return layer.activation
        if not keeps_values(layer):
            return "linear" if is_transparent(layer) else None
    return None


def cut_points(layers: Sequence[Layer]) -> list[int]:
    """Returns the calls that every path from the inputs of the model to its last call passes, without the last call."""
    last = len(layers) - 1
    needed, reached = set(), [last] if layers else []
    while reached:
        place = reached.pop()
        if place not in needed:
            needed.add(place)
            reached += [source for source in layers[place].sources if source >= 0]
    earliest = {place: min(layers[place].sources, default=-1) for place in needed}
    return [
        place
        for place in sorted(needed - {last})
        if not any(source < place < later for later, source in earliest.items())
    ]
