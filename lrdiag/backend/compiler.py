"""Compiled passes over a model, on the engine that Keras runs on.

An engine is a module of this package with the functions below. Heatmaps need a function
`(inputs, delta) -> (scores, features)` that adds `delta` to the output of the explained layer. The gradient of a score
is taken with respect to `delta`, at `delta = 0`, so the layer stays unchanged and one formula works for every
engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from lrdiag.errors import ModelError

Delta = Callable[[Any], Any]
"""Returns the zero tensor to add to an output, of the output's shape."""
Forward = Callable[[Any, Delta], tuple[Any, list[Any]]]
"""Takes inputs and `Delta`; returns scores `(n, classes)` and the layer's output at each of its calls."""


def compiled(function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
    """Compiles a function of nests of arrays.

    It is compiled once for each type and shape of its inputs, whatever the size of the batch, and always computes with
    the current weights.

    Args:
        function: Takes nests of arrays and returns a nest of tensors. The first axis of each is the batch.
        model: The model that the function calls. Its state changes as if the function were called.
    """
    return _engine().compiled(function, model)  # type: ignore[no-any-return]


def with_gradients(
    forward: Forward, inputs: Any, targets: Callable[[Any], list[Any]]
) -> tuple[Any, list[Any], list[list[Any]]]:
    """Runs `forward` and differentiates the targets with respect to `delta`.

    Args:
        forward: The model, see above.
        inputs: A batch of inputs.
        targets: Takes the scores; returns the tensors to differentiate, of shape `(n,)`.

    Returns:
        The scores, the features of each call of the layer, and for each target the gradient at each call: a tensor of
        the features' shape, or `None` if the target does not depend on that call.
    """
    return _engine().with_gradients(forward, inputs, targets)  # type: ignore[no-any-return]


def is_computed(tensor: Any) -> bool:
    """Whether a tensor has values. Inside a loop that Keras compiles, such as `vectorized_map`, it has none."""
    return _engine().is_computed(tensor)  # type: ignore[no-any-return]


def predict_step(model: keras.Model, data: Any) -> Any:
    """The outputs of the model's `predict_step` for a batch as `model.predict` passes it."""
    return _engine().predict_step(model, data)


def rounds_to_ten_bits() -> bool:
    """Whether the engine multiplies matrices of 32 bits with 10 bits of precision, as NVIDIA GPUs do by default."""
    return _engine().rounds_to_ten_bits()  # type: ignore[no-any-return]


def _engine() -> Any:
    if keras.config.backend() != "tensorflow":
        raise ModelError(
            "lrdiag evaluates and explains models on TensorFlow only. Set KERAS_BACKEND=tensorflow before Keras is "
            f"imported. Received: the Keras backend {keras.config.backend()!r}"
        )
    from lrdiag.backend import tensorflow

    return tensorflow
