"""Holds parts of a network constant in the backward pass. What the network computes stays the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
from keras import ops

from lrdiag.backend.tap import _replaced, tapped

_ATTENTION = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
_NORMALIZATIONS = (keras.layers.LayerNormalization, keras.layers.RMSNormalization)


def queries_and_keys(layers: Iterable[keras.Operation]) -> list[keras.Operation]:
    """The layers that compute the queries and keys of Keras's attention layers.

    The weights of attention depend on nothing else, and fused kernels of attention never return them.
    """
    # Private, because Keras has no public name for these layers.
    return [
        each for layer in layers if isinstance(layer, _ATTENTION) for each in (layer._query_dense, layer._key_dense)
    ]


@contextmanager
def held_constant(outputs: Iterable[keras.Operation], layers: Iterable[keras.Operation]) -> Iterator[None]:
    """Stops gradients at some outputs, and at the scales of normalization layers, inside the block.

    Args:
        outputs: Layers at whose outputs gradients stop.
        layers: Layers of which those that normalize each image have a constant scale.
    """
    with ExitStack() as changes:
        for layer in outputs:
            changes.enter_context(tapped(layer, ops.stop_gradient))
        for layer in layers:
            if isinstance(layer, _NORMALIZATIONS) and not getattr(layer, "rms_scaling", False):
                changes.enter_context(_replaced(layer, "call", _with_constant_scale(layer)))
        yield


def _with_constant_scale(layer: keras.layers.Layer) -> Any:
    """The `call` of a normalization layer whose scale has no gradient."""
    original = layer.call
    centres = isinstance(layer, keras.layers.LayerNormalization)
    learned = layer.gamma if centres else layer.scale

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        normalized = original(inputs, *args, **kwargs)
        if layer.axis not in ([-1], [len(inputs.shape) - 1]):
            return normalized
        values = ops.cast(inputs, "float32")
        if centres:
            values = values - ops.mean(values, axis=-1, keepdims=True)
        scale = ops.rsqrt(ops.mean(ops.square(values), axis=-1, keepdims=True) + layer.epsilon)
        scale = scale if learned is None else scale * ops.cast(learned, "float32")
        linear = ops.cast(values * ops.stop_gradient(scale), normalized.dtype)
        return ops.stop_gradient(normalized) + (linear - ops.stop_gradient(linear))  # exactly what was computed

    return call
