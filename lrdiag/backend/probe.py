"""One forward and backward pass over a batch: the loss as compiled, activations and gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.base import Delta, Gradients
from lrdiag.backend.engine import engine
from lrdiag.backend.inference import unnoticed
from lrdiag.backend.tap import exchanged
from lrdiag.errors import ModelError


@dataclass(frozen=True)
class Probe:
    """What one batch shows of a model.

    Attributes:
        loss: The loss of the batch as the model is compiled, with regularization losses.
        outputs: What the model returned, a nest of arrays.
        activations: The output of each observed layer at each of its calls.
        gradients: The gradient of the loss at these outputs; `None` where the loss does not depend on one.
        weights: The trainable weights of the model.
        weight_gradients: The gradient of the loss for each weight; `None` where the loss does not depend on it.
    """

    loss: float
    outputs: Any
    activations: dict[str, list[np.ndarray]]
    gradients: dict[str, list[np.ndarray | None]]
    weights: list[np.ndarray]
    weight_gradients: list[np.ndarray | None]


def probe(
    model: keras.Model,
    inputs: Any,
    targets: Any,
    layers: Mapping[str, keras.Operation],
    *,
    sample_weight: Any = None,
    training: bool = True,
) -> Probe:
    """Runs a batch forward and backward, and leaves the model as it was.

    Example:
        >>> dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
        >>> model = keras.Sequential([keras.Input((2,)), dense])
        >>> model.compile(loss="mse")
        >>> probed = probe(model, np.ones((4, 2)), np.zeros((4, 1)), {"dense": dense})
        >>> probed.loss, probed.activations["dense"][0].shape, probed.weight_gradients[0].tolist()
        (4.0, (4, 1), [[4.0], [4.0]])

    Args:
        model: A built and compiled model.
        inputs: A batch of inputs, as `model.fit` takes them.
        targets: The targets of the batch.
        layers: Layers to observe, or operations of a Functional model, by names of your choice.
        sample_weight: Weights of the examples, as in `model.fit`.
        training: Whether the model runs as in training: with dropout, and with the statistics of the batch.

    Raises:
        ModelError: If the model isn't built or compiled.
    """
    if not (model.built and model.compiled):
        raise ModelError(
            "A model must be built and compiled before its gradients are computed. "
            f"Received: {model.name!r}, which isn't {'compiled' if model.built else 'built'}"
        )
    x, y, weights = tree.map_structure(_tensor, (inputs, targets, sample_weight))
    called: list[str] = []

    def run(x: Any, y: Any, weights: Any) -> Gradients:
        def forward(batch: Any, delta: Delta) -> tuple[Any, list[Any]]:
            features: list[Any] = []
            called.clear()  # an engine may run this twice
            with exchanged({layer: _adding(delta, name, called, features) for name, layer in layers.items()}):
                outputs = model(batch, training=training)
            # Private, because the public `compute_loss` of a user's class may have no argument `training`.
            return {"loss": model._compute_loss(batch, y, outputs, weights, training), "outputs": outputs}, features

        return engine().with_gradients(forward, x, lambda returned: [returned["loss"]], model.trainable_variables)

    differentiated = engine().for_few_calls(run, model)
    with unnoticed(model, training=training):
        outputs = engine().only_shapes(lambda: model(x, training=False))
        model._compile_loss.build(y, outputs)  # JAX can't create its variables below
        returned, features, (gradients,) = tree.map_structure(_array, differentiated(x, y, weights))
        trained = [np.asarray(ops.convert_to_numpy(variable)) for variable in model.trainable_variables]
    return Probe(
        loss=float(returned["loss"]),
        outputs=returned["outputs"],
        activations=_by_name(layers, called, features),
        gradients=_by_name(layers, called, gradients[: len(called)]),
        weights=trained,
        weight_gradients=gradients[len(called) :],
    )


def _adding(delta: Delta, name: str, called: list[str], features: list[Any]) -> Callable[[Any], Any]:
    """Returns the function that an observed layer passes its output through."""

    def add_delta(output: Any) -> Any:
        if "float" not in str(getattr(output, "dtype", "")):
            return output
        called.append(name)
        features.append(output)
        return output + delta(output)

    return add_delta


def _tensor(array: Any) -> Any:
    return None if array is None else ops.convert_to_tensor(array)


def _array(tensor: Any) -> np.ndarray | None:
    return None if tensor is None else np.asarray(ops.convert_to_numpy(tensor))


def _by_name(names: Iterable[str], called: list[str], values: list[Any]) -> dict[str, list[Any]]:
    return {name: [value for each, value in zip(called, values, strict=True) if each == name] for name in names}
