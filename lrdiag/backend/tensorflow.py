"""Compiled passes on TensorFlow: the tape and `tf.function`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import tree


def compiled(function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
    """Compiles a function, as `lrdiag.backend.compiler.compiled` describes."""
    traced: dict[str, Any] = {}

    def run(*arrays: Any) -> Any:
        tensors = tree.map_structure(tf.convert_to_tensor, arrays)
        specs = tree.map_structure(lambda tensor: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype), tensors)
        kind = repr(specs)
        if kind not in traced:
            traced[kind] = tf.function(function, input_signature=specs, autograph=False)  # as in `Model.predict`
        return traced[kind](*tensors)

    return run


def with_gradients(
    forward: Callable[[Any, Callable[[Any], Any]], tuple[Any, list[Any]]],
    inputs: Any,
    targets: Callable[[Any], list[Any]],
) -> tuple[Any, list[Any], list[list[Any]]]:
    """Differentiates with respect to `delta`, as `lrdiag.backend.compiler.with_gradients` describes."""
    deltas: list[Any] = []
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:

        def delta(output: Any) -> Any:
            zero = tf.zeros_like(output)
            tape.watch(zero)
            deltas.append(zero)
            return zero

        scores, features = forward(inputs, delta)
        differentiated = targets(scores)
    return scores, features, [tape.gradient(target, deltas) for target in differentiated]


def is_computed(tensor: Any) -> bool:
    """Whether a tensor has values, as `lrdiag.backend.compiler.is_computed` describes."""
    return not tf.is_symbolic_tensor(tensor)


def predict_step(model: keras.Model, data: Any) -> Any:
    """Calls `predict_step`, as `lrdiag.backend.compiler.predict_step` describes."""
    return model.predict_step(data)


def rounds_to_ten_bits() -> bool:
    """Whether TensorFloat-32 is in use, as `lrdiag.backend.compiler.rounds_to_ten_bits` describes."""
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    return enabled and bool(tf.config.list_physical_devices("GPU"))
