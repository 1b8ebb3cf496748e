"""Observes the layers of a model while it runs: their order, their weights, and what they return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers as kl
from keras import ops, tree

from lrdiag.backend.engine import engine
from lrdiag.backend.graph import kernel_of, parts
from lrdiag.backend.tap import Call, all_calls
from lrdiag.inspection.freshness import is_fresh
from lrdiag.record.observed import GIVEN, UNKNOWN, Activity, Kernel, Layer

_END = 0.01  # how close to an end of its range a sigmoid or tanh is saturated
_OWN_NAMES = {
    kl.ReLU: "relu", kl.LeakyReLU: "leaky_relu", kl.PReLU: "prelu", kl.ELU: "elu", kl.Softmax: "softmax",
}  # fmt: skip
_AUGMENTING = ("Random", "Gaussian", "CutMix", "MixUp", "AugMix", "AutoContrast", "Solarization")
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


class Observed(NamedTuple):
    """What a pass in training mode shows.

    Attributes:
        returned: What the model returned, a nest of arrays.
        layers: The calls of its layers.
        augmented: The images as the model has augmented them; `None` if it doesn't.
        penalty: The regularization losses.
    """

    returned: Any
    layers: tuple[Layer, ...]
    augmented: np.ndarray | None
    penalty: float


class _Call(NamedTuple):
    """A call of a layer, with the places of the calls that returned what it received."""

    layer: keras.Operation
    sources: tuple[int, ...]
    input_shape: tuple[int, ...]


class Observer:
    """Runs a model on a few images, and observes its layers.

    Create it outside of `unnoticed`, and call it inside.

    Args:
        model: A built model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model, self._layers = model, leaves(model)
        self._augmenting = [each for each in self._layers if _augments(each)]
        self._calls: list[_Call] = []
        self._run_inference = engine().for_few_calls(self._in_inference_mode, model)
        self._run_training = engine().for_few_calls(self._in_training_mode, model)

    def infer(self, inputs: Any) -> tuple[Any, np.ndarray | None]:
        """Returns what the model returns in inference mode, a nest of arrays, and the images before augmentation."""
        returned, plain = self._run_inference(inputs)
        return tree.map_structure(to_numpy, returned), to_numpy(plain[-1]) if plain else None

    def observe(self, inputs: Any, gradients: Mapping[int, np.ndarray | None] | None = None) -> Observed:
        """Runs the model in training mode.

        Args:
            inputs: A batch of inputs, a nest of tensors.
            gradients: The gradient of the loss for each trained weight, by the `id` of its variable. `None` leaves out
                all that is known of weights.
        """
        returned, outputs, received, losses = self._run_training(inputs)
        augmented = [
            output for call, output in zip(self._calls, outputs, strict=True) if call.layer in self._augmenting
        ]
        return Observed(
            returned=tree.map_structure(to_numpy, returned),
            layers=tuple(self._described(outputs, received, gradients)),
            augmented=to_numpy(augmented[-1]) if augmented else None,
            penalty=sum(float(to_numpy(each)) for each in losses),
        )

    def _in_inference_mode(self, inputs: Any) -> tuple[Any, list[Any]]:
        plain: list[Any] = []
        with all_calls(self._augmenting, lambda call: plain.append(tree.flatten(call.output)[0])):
            return self._model(inputs, training=False), plain

    def _in_training_mode(self, inputs: Any) -> tuple[Any, list[Any], dict[int, Any], list[Any]]:
        """Returns what the model returns, the output of each call, what some received, and the regularization losses.

        What a call received is returned if its layer has a kernel, and no observed layer returned it.
        """
        places, kept = {id(tensor): GIVEN for tensor in tree.flatten(inputs)}, []
        calls: list[_Call] = []
        outputs: list[Any] = []
        received: dict[int, Any] = {}

        def look(call: Call) -> None:
            given, returned = _batches(call.arguments), _batches(call.output)
            if not returned:
                return
            sources = tuple(places.get(id(tensor), UNKNOWN) for tensor in given)
            if given and sources[0] < 0 and kernel_of(call.layer) is not None:
                received[len(calls)] = given[0]
            places.update({id(tensor): len(calls) for tensor in returned})
            kept.extend(returned)  # so that no other tensor gets their `id`
            calls.append(_Call(call.layer, sources, tuple(given[0].shape[1:]) if given else ()))
            outputs.append(returned[0])

        with all_calls(self._layers, look):
            returned = self._model(inputs, training=True)
        self._calls = calls
        return returned, outputs, received, list(self._model.losses)

    def _described(
        self, outputs: list[Any], received: dict[int, Any], gradients: Mapping[int, np.ndarray | None] | None
    ) -> Iterator[Layer]:
        last = next((each for each in reversed(self._layers) if kernel_of(each) is not None), None)
        has_kernel = False
        for place, ((layer, sources, input_shape), output) in enumerate(zip(self._calls, outputs, strict=True)):
            path, parent = self._layers[layer]
            activation = activation_of(layer)
            is_trained = not getattr(layer, "weights", ()) or bool(getattr(layer, "trainable_variables", ()))
            kernel = None if gradients is None else _kernel(layer, gradients)
            tells = gradients is not None and (  # the others are not worth the time
                not is_trained or not has_kernel or layer is last
            )
            has_kernel |= kernel is not None
            yield Layer(
                name=path,
                kind=type(layer).__name__,
                parent=type(parent).__name__,
                activation=activation,
                sources=sources,
                input_shape=_channels_last_shape(layer, input_shape),
                shape=_channels_last_shape(layer, tuple(output.shape[1:])),
                kernel=kernel,
                activity=activity_of(_channels_last(layer, output), activation),
                rate=getattr(layer, "rate", None) if "Dropout" in type(layer).__name__ else None,
                momentum=float(layer.momentum) if isinstance(layer, kl.BatchNormalization) else None,
                trainable=is_trained,
                fresh=is_fresh(layer) if tells else None,
                received=_rms(to_numpy(received[place])) if kernel and place in received else None,
            )


def _batches(nest: Any) -> list[Any]:
    """Returns the tensors in a nest that have two axes or more."""
    return [each for each in tree.flatten(nest) if hasattr(each, "shape") and len(each.shape) > 1]


def _channels_last(layer: keras.Operation, tensor: Any) -> np.ndarray:
    values = to_numpy(tensor)
    return np.moveaxis(values, 1, -1) if _puts_channels_first(layer) and values.ndim > 2 else values


def _channels_last_shape(layer: keras.Operation, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what a layer takes or returns for an image, with the channels last."""
    return (*shape[1:], *shape[:1]) if _puts_channels_first(layer) else shape


def _puts_channels_first(layer: keras.Operation) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


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


def _augments(layer: keras.Operation) -> bool:
    """Whether a layer of Keras changes images at random in training."""
    name = type(layer).__name__
    return name.startswith(_AUGMENTING) and "Dropout" not in name
