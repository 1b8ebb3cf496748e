"""Looking into a model while it runs, without changing it: every kind of Keras model, nested and subclassed too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras

_PROBABILITIES = ("Softmax", "LogSoftmax", "Sigmoid", "LogSigmoid")  # as a layer, or as an operation of keras.ops
_ACTIVATIONS = (
    keras.activations.softmax,
    keras.activations.log_softmax,
    keras.activations.sigmoid,
    keras.activations.log_sigmoid,
)


@contextmanager
def tapped(layer: keras.Operation, on_output: Callable[[Any], Any]) -> Iterator[None]:
    """While it lasts, what `layer` returns passes through `on_output` first; afterwards the layer is as it was.

    Args:
        layer: Any layer of a model, or a bare operation of `keras.ops` in a Functional one.
        on_output: Takes the output of `layer.call` and returns what the rest of the model receives.
    """
    original = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        return on_output(original(*args, **kwargs))

    with _replaced(layer, "call", call):
        yield


@contextmanager
def all_tapped(layers: list[keras.Operation], on_output: Callable[[keras.Operation, Any], None]) -> Iterator[None]:
    """While it lasts, tells `on_output` what each of `layers` returns."""

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
    """Whether `layer` ends in a softmax or a sigmoid, or the logarithm of one."""
    return type(layer).__name__ in _PROBABILITIES or getattr(layer, "activation", None) in _ACTIVATIONS


@contextmanager
def without_activation(layer: keras.Operation | None) -> Iterator[None]:
    """While it lasts, `layer` passes on its logits instead of their softmax or sigmoid.

    Args:
        layer: A layer that makes probabilities, or `None` to change nothing.
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
    # object's own methods: Keras locks and tracks what is set on a built layer
    own = vars(layer).get(name, _replaced)
    object.__setattr__(layer, name, value)
    try:
        yield
    finally:
        if own is _replaced:
            object.__delattr__(layer, name)
        else:
            object.__setattr__(layer, name, own)
