"""Compiled passes over a model, on the engine that Keras runs on.

Gradients need a function `(inputs, delta) -> (scores, features)` that adds `delta` to the output of a layer. The
gradient of a score is taken with respect to `delta`, at `delta = 0`, so the layer stays unchanged and one formula works
for every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras

from lrdiag.backend.engine import engine

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
    return engine().compiled(function, model)  # type: ignore[no-any-return]


def with_gradients(
    forward: Forward,
    inputs: Any,
    targets: Callable[[Any], list[Any]],
    variables: Sequence[keras.Variable] = (),
) -> tuple[Any, list[Any], list[list[Any]]]:
    """Runs `forward` and differentiates the targets with respect to `delta`, and to variables.

    Args:
        forward: The model, see above.
        inputs: A batch of inputs.
        targets: Takes the scores; returns the tensors to differentiate. The sum of each is differentiated.
        variables: Variables that `forward` computes with.

    Returns:
        The scores, the features of each call of the layer, and for each target the gradient at each call and then for
        each variable: a tensor of its shape, or `None` if the target does not depend on it.
    """
    return engine().with_gradients(forward, inputs, targets, variables)  # type: ignore[no-any-return]


def inferring(model: keras.Model) -> AbstractContextManager[None]:
    """Runs the model as `model.predict` does inside a block: nothing is recorded for gradients."""
    return engine().inferring(model)  # type: ignore[no-any-return]


def is_computed(tensor: Any) -> bool:
    """Whether a tensor has values. Inside a function that is compiled or vectorized, it has none."""
    return engine().is_computed(tensor)  # type: ignore[no-any-return]


def predict_step(model: keras.Model, data: Any) -> Any:
    """The outputs of the model's `predict_step` for a batch as `model.predict` passes it."""
    return engine().predict_step(model, data)


def rounds_to_ten_bits() -> bool:
    """Whether the engine multiplies matrices of 32 bits with 10 bits of precision, as NVIDIA GPUs do by default."""
    return engine().rounds_to_ten_bits()  # type: ignore[no-any-return]
