"""What several rules ask of the observed layers of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.record.observed import Kernel, Layer

RELUS = ("relu", "relu6")
_NO_NORMALIZATION = ("Normalization", "SpectralNormalization")  # the one scales inputs, the other weights


def with_kernel(layers: Sequence[Layer]) -> list[tuple[Layer, Kernel]]:
    """The layers that multiply their input with weights, in the order of their calls, and these weights."""
    return [(layer, layer.kernel) for layer in layers if layer.kernel is not None]


def hidden(layers: Sequence[Layer]) -> list[Layer]:
    """The layers before the last one that has a kernel."""
    last = max((place for place, layer in enumerate(layers) if layer.kernel is not None), default=0)
    return list(layers[:last])


def is_linear(layer: Layer) -> bool:
    """Whether a layer has no activation."""
    return layer.activation in (None, "linear")


def is_normalization(layer: Layer) -> bool:
    """Whether a layer normalizes with the statistics of what it receives, such as batch normalization."""
    return "norm" in layer.kind.lower() and layer.kind not in _NO_NORMALIZATION


def normalizes_batches(layers: Sequence[Layer]) -> bool:
    """Whether batch normalization follows layers of the model, so that the scale of their weights has no effect."""
    return any(layer.momentum is not None or layer.kind == "GroupNormalization" for layer in layers)


def entering(layers: Sequence[Layer]) -> tuple[Layer, float | None] | None:
    """The first layer with a kernel, and the root mean square of what it receives if that is known.

    `None` if a normalization comes first.
    """
    for layer in layers:
        if is_normalization(layer):
            return None
        if layer.kernel is not None:
            source = layer.sources[0] if layer.sources else -1
            return layer, layers[source].activity.rms if source >= 0 else layer.received
    return None


def normalization_after(layers: Sequence[Layer], layer: Layer) -> Layer | None:
    """The normalization that follows a layer before the first activation function, or `None`."""
    if not is_linear(layer):
        return None
    for later in layers[layers.index(layer) + 1 :]:
        if is_normalization(later):
            return later
        if not is_linear(later):
            return None
    return None


def log_classes(evidence: Evidence) -> float | None:
    """The cross-entropy of equal probabilities for all classes. In nats.

    `None` for other losses, and if the model has several outputs, whose losses are added.
    """
    has_several = evidence.start is not None and evidence.start.outputs > 1
    if evidence.compiled is None or evidence.scores is None or has_several:
        return None
    if evidence.compiled.kind == "binary":
        return math.log(2)
    if evidence.compiled.kind not in ("sparse", "categorical") or evidence.scores.units < 2:
        return None
    return math.log(evidence.scores.units)


def is_trained(evidence: Evidence) -> bool:
    """Whether the model was trained before: its first layer was, or its first loss is far below that of a guess."""
    first = next((layer for layer, _ in with_kernel(given(evidence.layers))), None)
    if first is not None and first.fresh is False:
        return True
    guess = log_classes(evidence)
    return guess is not None and evidence.start is not None and evidence.start.loss < 0.7 * guess


def has_new_head(layers: Sequence[Layer]) -> bool:
    """Whether the last layer with a kernel is trained now, and was not before."""
    last = next((layer for layer, _ in reversed(with_kernel(layers))), None)
    return last is not None and last.fresh is True and last.trainable
