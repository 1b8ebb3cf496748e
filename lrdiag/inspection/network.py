"""Observes the layers of a model while it runs: their order, their weights, and what they return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers as kl
from keras import ops, tree

from lrdiag.backend.graph import parts
from lrdiag.backend.tap import Call, all_calls
from lrdiag.inspection.freshness import is_fresh
from lrdiag.record.observed import GIVEN, UNKNOWN, Activity, Kernel, Layer

_END = 0.01  # how close to an end of its range a sigmoid or tanh is saturated
_OWN_NAMES = {
    kl.ReLU: "relu", kl.LeakyReLU: "leaky_relu", kl.PReLU: "prelu", kl.ELU: "elu", kl.Softmax: "softmax",
}  # fmt: skip
AUGMENTING = ("Random", "Gaussian", "CutMix", "MixUp", "AugMix", "AutoContrast", "Solarization")
"""How the classes of Keras begin that augment images."""


def leaves(model: keras.Model) -> dict[keras.Operation, tuple[str, keras.Operation]]:
    """Returns each layer without layers inside, and each operation, with its path and the layer that it is in."""
    by_path = dict(parts(model))
    found: dict[keras.Operation, tuple[str, keras.Operation]] = {}
    for path, part in by_path.items():
        is_leaf = not any(True for _ in parts(part))
        if is_leaf and part not in found and type(part).__name__ != "InputLayer":
            found[part] = (path, by_path.get(path.rpartition("/")[0], model))
    return found


def observe(
    model: keras.Model, inputs: Any, gradients: Mapping[int, np.ndarray | None] | None = None
) -> tuple[Any, tuple[Layer, ...]]:
    """Runs a model in training mode.

    Args:
        model: A built model. The caller restores its state.
        inputs: A batch of inputs, a nest of tensors.
        gradients: The gradient of the loss for each trained weight, by the `id` of its variable. `None` leaves out all
            that is known of weights.

    Returns:
        What the model returned, and the calls of its layers.
    """
    places, kept, seen = {id(tensor): GIVEN for tensor in tree.flatten(inputs)}, [], []
    known = leaves(model)
    last = next((each for each in reversed(known) if kernel_of(each) is not None), None)
    has_kernel = False

    def look(call: Call) -> None:
        nonlocal has_kernel
        given = [each for each in tree.flatten(call.arguments) if hasattr(each, "shape") and len(each.shape) > 1]
        outputs = [each for each in tree.flatten(call.output) if hasattr(each, "shape") and len(each.shape) > 1]
        if not outputs:
            return
        sources = tuple(places.get(id(tensor), UNKNOWN) for tensor in given)
        layer, (path, parent) = call.layer, known[call.layer]
        activation = activation_of(layer)
        weights = list(getattr(layer, "weights", ()))
        is_trained = not weights or bool(getattr(layer, "trainable_variables", ()))
        kernel = None if gradients is None else _kernel(layer, gradients)
        tells = gradients is not None and (  # the others are not worth the time
            not is_trained or not has_kernel or layer is last
        )
        seen.append(
            Layer(
                name=path,
                kind=type(layer).__name__,
                parent=type(parent).__name__,
                activation=activation,
                sources=sources,
                input_shape=_shape(layer, given[0]) if given else (),
                shape=_shape(layer, outputs[0]),
                kernel=kernel,
                activity=activity_of(_channels_last(layer, outputs[0]), activation),
                rate=getattr(layer, "rate", None) if "Dropout" in type(layer).__name__ else None,
                momentum=float(layer.momentum) if isinstance(layer, kl.BatchNormalization) else None,
                trainable=is_trained,
                fresh=is_fresh(layer) if tells else None,
                received=_rms(to_numpy(given[0])) if kernel and given and sources[0] < 0 else None,
            )
        )
        has_kernel |= kernel is not None
        kept.extend(outputs)  # so that no other tensor gets their `id`
        places.update({id(tensor): len(seen) - 1 for tensor in outputs})

    with all_calls(known, look):
        returned = model(inputs, training=True)
    return returned, tuple(seen)


def _channels_last(layer: keras.Operation, tensor: Any) -> np.ndarray:
    values = to_numpy(tensor)
    return np.moveaxis(values, 1, -1) if _puts_channels_first(layer) and values.ndim > 2 else values


def _shape(layer: keras.Operation, tensor: Any) -> tuple[int, ...]:
    """The shape of an image in a tensor, with the channels last."""
    shape = tuple(tensor.shape[1:])
    return (*shape[1:], *shape[:1]) if _puts_channels_first(layer) else shape


def _puts_channels_first(layer: keras.Operation) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


def outputs_of(
    model: keras.Model, inputs: Any, layers: Iterable[keras.Operation], *, training: bool
) -> list[np.ndarray]:
    """Runs a model, and returns what the given layers returned, in the order of their calls."""
    seen: list[np.ndarray] = []
    with all_calls(layers, lambda call: seen.append(to_numpy(tree.flatten(call.output)[0]))):
        model(inputs, training=training)
    return seen


def activation_of(layer: keras.Operation) -> str | None:
    """Returns the name of the function that a layer ends in, or `None` if it has none.

    Example:
        >>> activation_of(keras.layers.Dense(2)), activation_of(keras.layers.ReLU())
        ('linear', 'relu')
    """
    for kind, name in _OWN_NAMES.items():
        if isinstance(layer, kind):
            return name
    if not isinstance(layer, keras.Layer) and ".ops.nn" in type(layer).__module__:
        return type(layer).__name__.lower()
    activation = getattr(layer, "activation", None)
    return getattr(activation, "__name__", type(activation).__name__) if callable(activation) else None


def activity_of(values: np.ndarray, activation: str | None = None) -> Activity:
    """Describes what a layer returned: an array of shape `(n, ..., units)`."""
    units = values.reshape(-1, values.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        rms = float(np.sqrt(np.mean(np.square(values, dtype=np.float32))))
        between = float(np.mean(np.std(values, axis=0)))
    low = {"sigmoid": 0.0, "tanh": -1.0}.get(activation or "")
    at_end = 0.0 if low is None else float(np.mean((values < low + _END) | (values > 1 - _END)))
    return Activity(rms, between, float(np.mean(~units.any(axis=0))), at_end, bool(np.isfinite(rms)))


def _kernel(layer: keras.Operation, gradients: Mapping[int, np.ndarray | None]) -> Kernel | None:
    variable = kernel_of(layer)
    if variable is None:
        return None
    values = to_numpy(variable.value)
    trainable = bool(layer.trainable and variable.trainable)
    window = tuple(getattr(layer, "kernel_size", ()) or ())
    grouped = isinstance(layer, kl.DepthwiseConv1D | kl.DepthwiseConv2D) or getattr(layer, "groups", 1) > 1
    if isinstance(layer, kl.DepthwiseConv1D | kl.DepthwiseConv2D):
        units, fan_in = int(np.prod(values.shape[-2:])), int(np.prod(values.shape[:-2]))
    elif isinstance(layer, kl.Conv1DTranspose | kl.Conv2DTranspose | kl.Conv3DTranspose):
        units, fan_in = int(values.shape[-2]), int(values.size // values.shape[-2])
    else:
        units, fan_in = int(values.shape[-1]), int(values.size // values.shape[-1])
    gradient = gradients.get(id(variable)) if trainable else None
    pull = penalty_gradient(variable, values) if trainable else None
    columns = values.reshape(-1, values.shape[-1])
    return Kernel(
        shape=tuple(values.shape),
        fan_in=fan_in,
        units=units,
        window=window,
        grouped=grouped,
        rms=_rms(values),
        deviation=float(values.std()),
        identical_units=columns.shape[1] > 1 and bool((columns == columns[:, :1]).all()),
        trainable=trainable,
        gradient=None if gradient is None else _rms(gradient),
        identical_gradients=gradient is not None and _identical(gradient.reshape(-1, gradient.shape[-1])),
        penalty_gradient=0.0 if pull is None else _rms(pull),
        data_gradient=None if gradient is None else _rms(gradient if pull is None else gradient - pull),
    )


def kernel_of(layer: keras.Operation) -> keras.Variable | None:
    """Returns the largest weight of a layer that has two axes or more, or `None`."""
    own = [each for each in getattr(layer, "weights", ()) if len(each.shape) > 1 and "seed" not in each.name]
    if isinstance(layer, kl.Embedding):
        return None
    return max(own, key=lambda each: int(np.prod(each.shape)), default=None)


def penalty_gradient(variable: keras.Variable, values: np.ndarray) -> np.ndarray | None:
    """Returns the gradient of the regularization loss of a weight; `None` without one.

    It is exact for L1 and L2. For others it is the part in the direction of the weight, which is measured by
    making the weight larger by a thousandth.
    """
    regularizer = getattr(variable, "regularizer", None)
    square = float(np.square(values, dtype=np.float64).sum())
    if regularizer is None or not square:
        return None
    if isinstance(regularizer, keras.regularizers.L1 | keras.regularizers.L2 | keras.regularizers.L1L2):
        l1, l2 = (float(getattr(regularizer, name, 0.0)) for name in ("l1", "l2"))
        return np.asarray(l1 * np.sign(values) + 2 * l2 * values, np.float32)
    step = 1e-3
    larger, smaller = (
        float(ops.convert_to_numpy(regularizer(ops.convert_to_tensor(values * np.float32(1 + sign * step)))))
        for sign in (1, -1)
    )
    return np.asarray((larger - smaller) / (2 * step) / square * values, np.float32)


def _identical(columns: np.ndarray) -> bool:
    scale = float(np.abs(columns).max())
    return columns.shape[1] > 1 and bool(np.abs(columns - columns[:, :1]).max() <= 1e-5 * scale)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def to_numpy(tensor: Any) -> np.ndarray:
    """Returns a tensor as a `float32` array."""
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


def augmenting(model: keras.Model) -> list[keras.Operation]:
    """Returns the layers of Keras in a model that change images at random in training."""
    return [
        each
        for each in leaves(model)
        if type(each).__name__.startswith(AUGMENTING) and "Dropout" not in type(each).__name__
    ]
