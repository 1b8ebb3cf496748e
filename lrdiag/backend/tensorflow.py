"""TensorFlow: `tf.function` and the gradient tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops, tree

from lrdiag.backend import base


class Number(base.Number):
    """Reads and writes a variable in a third of the time that Keras takes.

    It calls TensorFlow's operations on the variable's handles, without the checks and conversions of `keras.Variable`.
    With `MirroredStrategy` each device has a copy of the variable, or a part of the sum if it belongs to a metric.
    """

    def __init__(self, variable: keras.Variable, model: keras.Model) -> None:
        super().__init__(variable, model)
        self._dtype = tf.as_dtype(variable.dtype)
        self._handles = [each.handle for each in getattr(variable.value, "values", [variable.value])]
        self._is_summed = variable.aggregation == "sum"

    def read(self) -> Any:
        handles = self._handles if self._is_summed else self._handles[:1]
        return sum(tf.raw_ops.ReadVariableOp(resource=handle, dtype=self._dtype).numpy() for handle in handles)

    def write(self, value: float) -> Any:
        number = tf.constant(value, self._dtype)
        first, *others = self._handles
        tf.raw_ops.AssignVariableOp(resource=first, value=number)
        for handle in others:
            tf.raw_ops.AssignVariableOp(resource=handle, value=tf.zeros_like(number) if self._is_summed else number)
        return number.numpy()


class Engine(base.Engine):
    """Variables are part of a graph by reference, so a compiled function needs no model."""

    number = Number

    def compiled(self, function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
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
        self,
        forward: base.Forward,
        inputs: Any,
        targets: Callable[[Any], list[Any]],
        variables: Sequence[keras.Variable] = (),
    ) -> base.Gradients:
        watched: list[Any] = []
        weights = [variable.value for variable in variables]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            for weight in weights:
                tape.watch(weight)

            def delta(output: Any) -> Any:
                zero = tf.zeros_like(output)
                tape.watch(zero)
                watched.append(zero)
                return zero

            scores, features = forward(inputs, delta)
            differentiated = targets(scores)
        return scores, features, [tape.gradient(target, [*watched, *weights]) for target in differentiated]

    def is_computed(self, tensor: Any) -> bool:
        return not tf.is_symbolic_tensor(tensor)

    def in_float64(self, function: Callable[[Any, Any], Any], step: Any) -> Any:
        return ops.cast(function(ops.cast(step, "float64"), ops), "float32")

    def accelerator(self) -> str | None:
        for gpu in tf.config.list_physical_devices("GPU"):
            return f"GPU: {tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)}"
        return None

    def rounds_to_ten_bits(self) -> bool:
        enabled = tf.config.experimental.tensor_float_32_execution_enabled()
        return enabled and self.accelerator() is not None

    def set_seed(self, seed: int) -> None:
        tf.random.set_seed(seed)
