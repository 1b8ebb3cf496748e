"""Which objects lrdiag accepts as a model: those of Keras 3. Others are refused by the name of their library."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from os import PathLike
from typing import Any, NamedTuple

import keras

from lrdiag.errors import ModelError


class _Other(NamedTuple):
    """A kind of object that is not a model of Keras 3.

    Attributes:
        matches: Whether an object is of this kind.
        name: The kind, with its article.
        remedy: What to do.
    """

    matches: Callable[[Any], bool]
    name: str
    remedy: str


def _of(*libraries: str) -> Callable[[Any], bool]:
    """Returns whether a class of an object is from one of `libraries`, without importing them."""
    prefixes = tuple(f"{library}." for library in libraries)
    return lambda model: any(f"{each.__module__}.".startswith(prefixes) for each in type(model).__mro__)


_IN_KERAS = "lrdiag evaluates models of Keras. Build the model in Keras 3 and copy its weights."
_OTHERS = (
    _Other(
        _of("tf_keras", "tensorflow.python.keras"),
        "a model of Keras 2 (tf_keras)",
        "lrdiag works with Keras 3. Build or load the model with `keras`. If it comes from `tf.keras`, unset the "
        "environment variable TF_USE_LEGACY_KERAS.",
    ),
    _Other(_of("torch"), "a PyTorch module", _IN_KERAS),
    _Other(_of("flax", "equinox", "haiku"), "a JAX module", _IN_KERAS),
    _Other(_of("sklearn", "xgboost", "lightgbm", "catboost"), "an estimator without layers", _IN_KERAS),
    _Other(
        lambda model: isinstance(model, keras.Layer),
        "a single layer",
        "Build a model with it: keras.Sequential([keras.Input(shape), layer]).",
    ),
    _Other(
        _of("tensorflow"),  # after layers, which are objects of TensorFlow too
        "an object of TensorFlow",
        "If it was loaded from a SavedModel, wrap it: keras.Sequential([keras.layers.TFSMLayer(folder, "
        'call_endpoint="serving_default")]).',
    ),
    _Other(inspect.isclass, "a class", "Create a model with it, and pass the model."),
    _Other(inspect.isroutine, "a function", "Call it, and pass the model that it returns."),
    _Other(
        lambda model: isinstance(model, str | PathLike),
        "a path",
        "Load the file with keras.models.load_model, or use the command `lrdiag diagnose`.",
    ),
)


def require_keras_model(model: Any, subject: str = "`model` must be") -> None:
    """Raises unless `model` is a model of Keras 3.

    Example:
        >>> import keras
        >>> require_keras_model(keras.Sequential())

    Args:
        model: Any object.
        subject: The start of the message, up to "a keras.Model".

    Raises:
        ModelError: With the kind of object that it is, and what to do.
    """
    if isinstance(model, keras.Model):
        return
    other = next((other for other in _OTHERS if other.matches(model)), None)
    explained = f", and this is {other.name}. {other.remedy}" if other else "."
    module, name = type(model).__module__, type(model).__qualname__
    received = name if module == "builtins" else f"{module}.{name}"
    raise ModelError(f"{subject} a keras.Model{explained} Received: {received}")


class Callback(keras.callbacks.Callback):  # type: ignore[misc]
    """A Keras callback that refuses models of Keras 2, whose `fit` takes every object with the right methods."""

    def set_model(self, model: Any) -> None:
        """Receives the model from `fit`.

        Raises:
            ModelError: If it isn't a model of Keras 3.
        """
        require_keras_model(model)
        super().set_model(model)
