"""TensorFlow: `tf.function` and the tape. `compiler`, `scalar`, `seeds` and `device` describe the functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from lrdiag.backend.stateful import run_from_zero, synchronize

__all__ = ["run_from_zero", "synchronize"]


def compiled(function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
    """Compiles a function. Variables are part of the graph by reference, so the model is not needed."""
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
    variables: Sequence[keras.Variable] = (),
) -> tuple[Any, list[Any], list[list[Any]]]:
    """Differentiates with a tape."""
    deltas: list[Any] = []
    weights = [variable.value for variable in variables]
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        for weight in weights:
            tape.watch(weight)

        def delta(output: Any) -> Any:
            zero = tf.zeros_like(output)
            tape.watch(zero)
            deltas.append(zero)
            return zero

        scores, features = forward(inputs, delta)
        differentiated = targets(scores)
    return scores, features, [tape.gradient(target, [*deltas, *weights]) for target in differentiated]


def inferring(model: keras.Model) -> AbstractContextManager[None]:
    """Does nothing: without a tape, nothing is recorded."""
    return nullcontext()


def is_computed(tensor: Any) -> bool:
    """Whether a tensor is eager."""
    return not tf.is_symbolic_tensor(tensor)


def predict_step(model: keras.Model, data: Any) -> Any:
    """Calls `predict_step(data)`."""
    return model.predict_step(data)


def rounds_to_ten_bits() -> bool:
    """Whether TensorFloat-32 is in use."""
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    return enabled and bool(tf.config.list_physical_devices("GPU"))


def in_float64(function: Callable[[Any, Any], Any], step: Any) -> Any:
    """Computes with Keras's operations."""
    return keras.ops.cast(function(keras.ops.cast(step, "float64"), keras.ops), "float32")


def accelerator() -> str | None:
    """The name of the first GPU."""
    for gpu in tf.config.list_physical_devices("GPU"):
        return f"GPU: {tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)}"
    return None


def keep_mode(model: keras.Model) -> Callable[[], None]:
    """Nothing is kept: TensorFlow's models have no mode."""
    return lambda: None


def set_seed(seed: int) -> None:
    """Sets the seed of raw operations."""
    tf.random.set_seed(seed)


def keep_random_state() -> Callable[[], None]:
    """Nothing is kept: Keras draws its numbers from its own seeds."""
    return lambda: None


class Number:
    """Reads and writes a variable in a third of the time that Keras takes.

    It calls TensorFlow's operations on the variable's handles, without the checks and conversions of `keras.Variable`.
    With `MirroredStrategy` each device has a copy of the variable, or a part of the sum if it belongs to a metric.
    """

    def __init__(self, variable: keras.Variable, model: keras.Model) -> None:
        self._dtype = tf.as_dtype(variable.dtype)
        self._handles = [each.handle for each in getattr(variable.value, "values", [variable.value])]
        self._is_summed = variable.aggregation == "sum"

    def read(self) -> Any:
        """Returns the number."""
        handles = self._handles if self._is_summed else self._handles[:1]
        return sum(tf.raw_ops.ReadVariableOp(resource=handle, dtype=self._dtype).numpy() for handle in handles)

    def write(self, value: float) -> Any:
        """Assigns `value`."""
        number = tf.constant(value, self._dtype)
        first, *others = self._handles
        tf.raw_ops.AssignVariableOp(resource=first, value=number)
        for handle in others:
            tf.raw_ops.AssignVariableOp(resource=handle, value=tf.zeros_like(number) if self._is_summed else number)
        return number.numpy()
