"""The compiled loss: what it takes, and its value for each image."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from lrdiag.backend.inference import with_logits

_CROSS_ENTROPIES = (
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
_FUNCTIONS = {  # they take probabilities by default
    keras.losses.binary_crossentropy: keras.losses.BinaryCrossentropy,
    keras.losses.binary_focal_crossentropy: keras.losses.BinaryFocalCrossentropy,
    keras.losses.categorical_crossentropy: keras.losses.CategoricalCrossentropy,
    keras.losses.categorical_focal_crossentropy: keras.losses.CategoricalFocalCrossentropy,
    keras.losses.sparse_categorical_crossentropy: keras.losses.SparseCategoricalCrossentropy,
}
_BINARY = (keras.losses.BinaryCrossentropy, keras.losses.BinaryFocalCrossentropy)
_HINGES = (keras.losses.hinge, keras.losses.squared_hinge)
_DISTANCES = (
    keras.losses.mean_squared_error,
    keras.losses.mean_absolute_error,
    keras.losses.huber,
    keras.losses.log_cosh,
)
_CHOSEN_BY_LABELS = ("crossentropy", "ce")
_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


def takes_logits(loss: Any) -> bool | None:
    """Whether a loss takes logits instead of probabilities.

    Example:
        >>> takes_logits(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        True

    Args:
        loss: A loss that `compiled_loss` returned.

    Returns:
        `None` if it is not a cross-entropy.
    """
    return bool(loss.get_config()["from_logits"]) if isinstance(loss, _CROSS_ENTROPIES) else None


def with_from_logits(loss: Any) -> Any:
    """The same cross-entropy, of logits."""
    return type(loss).from_config({**loss.get_config(), "from_logits": True})


def compiled_loss(model: keras.Model, output: str | int | None = None) -> Any:
    """The loss that the model was compiled with.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> model.compile(loss="sparse_categorical_crossentropy")  # a loss given by name takes probabilities
        >>> takes_logits(compiled_loss(model))
        False

    Args:
        model: A model, compiled or not.
        output: The output if the model has several: its name or its index.

    Returns:
        A `keras.losses.Loss`, a function of labels and outputs, or `None` if the model is not compiled.
    """
    loss = _of_output(getattr(model, "loss", None), output, getattr(model, "output_names", None) or [])
    if isinstance(loss, str) and loss.lower() in _CHOSEN_BY_LABELS:
        single = output is None and tuple(getattr(model, "output_shape", ()) or ())[-1:] == (1,)
        return keras.losses.BinaryCrossentropy() if single else keras.losses.SparseCategoricalCrossentropy()
    try:
        loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    except ValueError:
        return None
    return _FUNCTIONS[loss]() if loss in _FUNCTIONS else loss


def is_binary(loss: Any) -> bool:
    """Whether it is a cross-entropy of one sigmoid for each unit."""
    return isinstance(loss, _BINARY)


def is_hinge(loss: Any) -> bool:
    """Whether its labels are -1 and 1, so that a single unit decides at 0."""
    return _function(loss) in _HINGES


def is_distance(loss: Any) -> bool:
    """Whether it is a distance from labels of 0 and 1, so that a single unit decides at one half."""
    return _function(loss) in _DISTANCES


def is_plain(loss: Any) -> bool:
    """Whether it is the cross-entropy itself: without label smoothing, focus or classes that are left out."""
    kinds = (keras.losses.BinaryCrossentropy, keras.losses.CategoricalCrossentropy)
    if isinstance(loss, kinds):
        return bool(loss.get_config()["label_smoothing"] == 0)
    return isinstance(loss, keras.losses.SparseCategoricalCrossentropy) and loss.ignore_class is None


def takes_the_mean(loss: Any) -> bool:
    """Whether the loss of a batch is the mean over its images."""
    return getattr(loss, "reduction", _MEANS[0]) in _MEANS and getattr(loss, "ignore_class", None) is None


def name_of(loss: Any) -> str:
    """The name of a loss in words: `categorical hinge`."""
    name = str(getattr(loss, "name", None) or getattr(loss, "__name__", type(loss).__name__))
    return "a lambda" if name == "<lambda>" else name.replace("_", " ")


def targets_of(loss: Any, labels: np.ndarray, units: int) -> list[np.ndarray]:
    """The labels as the loss may take them, the likeliest form first.

    Args:
        loss: A loss or a function.
        labels: Class indices of shape `(n,)`.
        units: Number of values that the model returns for an image.
    """
    if units == 1:
        return [labels[:, np.newaxis].astype(np.float32)]
    one_hot = np.eye(units, dtype=np.float32)[labels]
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return [labels]
    return [one_hot] if _function(loss).__module__.startswith("keras.") else [one_hot, labels]


def values_of(
    loss: Any, targets: np.ndarray, outputs: np.ndarray, logits: np.ndarray | None = None
) -> np.ndarray | None:
    """The loss of each image, `float64` of shape `(n,)`, or of shape `()` if it gives one number for the batch.

    Args:
        loss: A loss or a function.
        targets: Labels as the loss takes them.
        outputs: Outputs of the model, of shape `(n, units)`.
        logits: The logits of these outputs, if a softmax or sigmoid of Keras computes them.

    Returns:
        `None` if the loss takes other labels.
    """
    function = loss.call if isinstance(loss, keras.losses.Loss) else loss
    tensors = [None if each is None else ops.convert_to_tensor(each.astype(np.float32)) for each in (outputs, logits)]
    try:
        values = function(ops.convert_to_tensor(targets), with_logits(*tensors))
        array = np.asarray(ops.convert_to_numpy(values), np.float64)
    except Exception:  # a function of the user may raise anything
        return None
    if array.ndim and len(array) != len(targets):
        return None
    return array.reshape(len(array), -1).mean(axis=1) if array.ndim > 1 else array


def _function(loss: Any) -> Any:
    """The function of the labels and the outputs that Keras wraps into a loss."""
    return getattr(loss, "fn", loss)


def _of_output(loss: Any, output: str | int | None, names: list[str]) -> Any:
    """The loss of one output, from a single loss, a list or a dictionary."""
    place = names.index(output) if isinstance(output, str) and output in names else output
    if isinstance(loss, dict):
        name = names[place] if isinstance(place, int) and place < len(names) else output
        return loss.get(name, next(iter(loss.values())) if len(loss) == 1 else None)
    if isinstance(loss, list | tuple):
        place = place if isinstance(place, int) else 0
        return loss[place] if place < len(loss) else None
    return loss
