"""Intercepts what layers return while a model runs, and restores the layers afterwards.

Keras offers no hook on a layer's output, so `call` is replaced on the instance for the duration of a block.
`Layer.__call__` looks it up there, in every kind of model: Functional, Sequential, nested and subclassed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras

_PROBABILITIES = ("Softmax", "LogSoftmax", "Sigmoid", "LogSigmoid")  # layers, and operations of keras.ops
_ACTIVATIONS = (
    keras.activations.softmax,
    keras.activations.log_softmax,
    keras.activations.sigmoid,
    keras.activations.log_sigmoid,
)


@contextmanager
def tapped(layer: keras.Operation, on_output: Callable[[Any], Any]) -> Iterator[None]:
    """Passes the output of `layer` through `on_output` inside the block.

    Args:
        layer: A layer of a model, or a bare operation of `keras.ops` in a Functional model.
        on_output: Takes the output of `layer.call` and returns what the rest of the model receives.
    """
    original = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        return on_output(original(*args, **kwargs))

    with _replaced(layer, "call", call):
        yield


@contextmanager
def all_tapped(layers: list[keras.Operation], on_output: Callable[[keras.Operation, Any], None]) -> Iterator[None]:
    """Calls `on_output` with each layer and its output inside the block."""

    def listener(layer: keras.Operation) -> Callable[[Any], Any]:
        def listen(output: Any) -> Any:
            on_output(layer, output)
            return output

        return listen

    with ExitStack() as taps:
        for layer in layers:
            taps.enter_context(tapped(layer, listener(layer)))
        yield


def makes_probabilities(layer: keras.Operation) -> bool:
    """Returns whether `layer` ends in a softmax or a sigmoid, or the logarithm of one."""
    return type(layer).__name__ in _PROBABILITIES or getattr(layer, "activation", None) in _ACTIVATIONS


@contextmanager
def without_activation(layer: keras.Operation | None) -> Iterator[None]:
    """Makes `layer` return logits instead of their softmax or sigmoid inside the block.

    Args:
        layer: A layer for which `makes_probabilities` is true, or `None` to change nothing.
    """
    if layer is None:
        yield
    elif getattr(layer, "activation", None) in _ACTIVATIONS:
        with _replaced(layer, "activation", keras.activations.linear):
            yield
    else:
        with _replaced(layer, "call", lambda inputs, *_args, **_kwargs: inputs):
            yield


@contextmanager
def _replaced(layer: keras.Operation, name: str, value: Any) -> Iterator[None]:
    # `object.__setattr__`, because `Layer.__setattr__` locks and tracks the attributes of a built layer.
    own = vars(layer).get(name, _replaced)
    object.__setattr__(layer, name, value)
    try:
        yield
    finally:
        if own is _replaced:
            object.__delattr__(layer, name)
        else:
            object.__setattr__(layer, name, own)
