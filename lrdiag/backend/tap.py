"""Intercepts what layers return while a model runs, and restores the layers afterwards.

Keras offers no hook on a layer's output, so `call` is replaced on the instance for the duration of a block.
`Layer.__call__` looks it up there, in every kind of model: Functional, Sequential, nested and subclassed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import keras


class Call(NamedTuple):
    """One call of a layer, its first argument, its output, and all its arguments."""

    layer: keras.Operation
    input: Any
    output: Any
    arguments: tuple[Any, ...] = ()


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
def exchanged(exchanges: Mapping[keras.Operation, Callable[[Any], Any]]) -> Iterator[None]:
    """Passes the output of each layer through its own function inside the block, as `tapped` does for one layer."""
    with ExitStack() as taps:
        for layer, on_output in exchanges.items():
            taps.enter_context(tapped(layer, on_output))
        yield


@contextmanager
def all_calls(layers: Iterable[keras.Operation], on_call: Callable[[Call], None]) -> Iterator[None]:
    """Calls `on_call` with each call of the layers inside the block."""

    def listening(layer: keras.Operation) -> Callable[..., Any]:
        original = layer.call

        def call(*args: Any, **kwargs: Any) -> Any:
            output = original(*args, **kwargs)
            on_call(Call(layer, _first(args, kwargs), output, (*args, *kwargs.values())))
            return output

        return call

    with ExitStack() as taps:
        for layer in {id(layer): layer for layer in layers}.values():  # a shared layer has several paths
            taps.enter_context(_replaced(layer, "call", listening(layer)))
        yield


def may_end_in_function(call: Call) -> bool:
    """Whether `without_function` can remove a function at the end of the layer: an activation, or all that it does."""
    same_shape = getattr(call.input, "shape", None) == getattr(call.output, "shape", ())
    return _has_activation(call.layer) or (same_shape and not getattr(call.layer, "weights", ()))


@contextmanager
def without_function(layer: keras.Operation | None) -> Iterator[None]:
    """Makes `layer` return what its activation receives inside the block; without an activation, what it receives.

    Args:
        layer: A layer for which `may_end_in_function` is true, or `None` to change nothing.
    """
    if layer is None:
        yield
    elif _has_activation(layer):
        with _replaced(layer, "activation", keras.activations.linear):
            yield
    else:
        with _replaced(layer, "call", lambda *args, **kwargs: _first(args, kwargs)):
            yield


def _has_activation(layer: keras.Operation) -> bool:
    activation = vars(layer).get("activation")  # a recurrent layer has a property of that name
    return callable(activation) and activation is not keras.activations.linear


def _first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return next(iter((*args, *kwargs.values())), None)


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
