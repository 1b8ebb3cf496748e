"""Models of the user: a `.keras` or `.h5` file, a SavedModel, or what a function returns."""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from lrdiag.errors import ModelError
from lrdiag.foreign_code import foreign_code
from lrdiag.model_files import MODEL_SUFFIXES, Candidate, is_saved_model, refusal_of_folder
from lrdiag.model_spec import KERAS_SUFFIX, not_importable, require_network, require_trained_model
from lrdiag.models.accepted import require_keras_model
from lrdiag.models.code import refuse_code
from lrdiag.models.keras2 import translated_copy
from lrdiag.models.unreadable import not_loaded

_ENDPOINT = "serving_default"  # written by `model.export` and by Keras 2
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def load_foreign(spec: str, image_shape: tuple[int, ...], classes: int) -> keras.Model:
    """Loads the network that `spec` names, for training.

    Args:
        spec: The path of a `.keras` file, or `"module:function"`. The function is called with `image_shape` and
            `classes` if it has parameters of these names. `module` may be in the current folder.
        image_shape: `(height, width, channels)`.
        classes: Number of classes.

    Raises:
        ModelError: If there is no such file or function, or it does not return a Keras model.
    """
    require_network(spec)
    if spec.endswith(KERAS_SUFFIX):
        return _load(Path(spec), trust=False)
    return _call_function(spec, {"image_shape": image_shape, "classes": classes})


def load_model(spec: str, *, trust: bool = False) -> keras.Model:
    """Loads a trained model, for evaluation.

    Args:
        spec: The path of a `.keras` or `.h5` file, also of Keras 2, or of a SavedModel's folder, or
            `"module:function"`, a function that returns it.
        trust: Whether to run the code that a file contains: Lambda layers, or a SavedModel.

    Raises:
        ModelError: If there is no such model, it cannot be loaded, or it contains code and isn't trusted.
    """
    require_trained_model(spec, trust=trust)
    path = Path(spec)
    if path.is_dir():
        return _load_folder(path, trust)
    if path.suffix in MODEL_SUFFIXES:
        return _load(path, trust)
    return _call_function(spec, {})


def takes_images(model: keras.Model) -> tuple[int | None, int | None, int]:
    """Returns height, width and channels of the images that a model takes. `None` if it takes any size.

    Raises:
        ModelError: If it does not take grey or RGB images.
    """
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    if not inputs:
        return None, None, 3  # a subclassed model does not state its input shape
    shape = tuple(inputs[0].shape)
    if len(inputs) != 1 or len(shape) != 4 or shape[3] not in (1, 3, None):
        raise ModelError(
            "On the command line, a model must take one batch of grey or RGB images, of shape (n, height, width, 1 or "
            "3). Use `lrdiag.diagnose` in Python for other models. "
            f"Received: {' and '.join(str(tuple(each.shape)) for each in inputs)}"
        )
    return shape[1], shape[2], shape[3] or 3


def _load_folder(path: Path, trust: bool) -> keras.Model:
    if is_saved_model(path):
        return _load_saved_model(path)
    if Candidate(path).is_keras_archive:  # `model.save(path, zipped=False)` wrote it
        return _load(path, trust)
    raise refusal_of_folder(path)


def _load(path: Path, trust: bool) -> keras.Model:
    try:
        return _load_as_it_is(path, trust)
    except ModelError:  # it isn't trusted
        raise
    except Exception as error:  # a layer of the file may raise anything
        reason = error
    try:
        with translated_copy(path) as copy:
            if copy:
                return _load_as_it_is(copy, trust)
    except ModelError:
        raise
    except Exception as error:
        reason = error
    raise not_loaded(path, reason) from reason


def _load_as_it_is(path: Path, trust: bool) -> keras.Model:
    if not trust:
        refuse_code(path)
    with warnings.catch_warnings(), _without_warnings_of_keras():
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")  # irrelevant for evaluation
        try:
            return keras.models.load_model(path, safe_mode=not trust)
        except Exception:  # its loss or optimizer may be unknown here
            return keras.models.load_model(path, compile=False, safe_mode=not trust)


@contextmanager
def _without_warnings_of_keras() -> Iterator[None]:
    """Hides what Keras logs about metrics and compilation when it loads a model."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _load_saved_model(path: Path) -> keras.Model:
    """Wraps a SavedModel in a single layer. The model has predictions but no heatmaps."""
    if keras.config.backend() != "tensorflow":
        raise ModelError(
            "A SavedModel needs TensorFlow. Set KERAS_BACKEND=tensorflow, or use a .keras file of the same model. "
            f"Received: {path} with the Keras backend {keras.config.backend()!r}"
        )
    import tensorflow as tf

    try:
        _, specs = tf.saved_model.load(str(path)).signatures[_ENDPOINT].structured_input_signature
        (spec,) = specs.values()
        layer = keras.layers.TFSMLayer(str(path), call_endpoint=_ENDPOINT)
        inputs = keras.Input(spec.shape[1:], dtype=spec.dtype.name)
        outputs = layer(inputs)
    except Exception as error:
        raise ModelError(
            "A SavedModel must have the endpoint `serving_default` with one batch of images as its input. Export it "
            f"with `model.export`. Received: {path}: {type(error).__name__}: {error}"
        ) from error
    scores = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs
    return keras.Model(inputs, scores, name=path.resolve().name)


def _call_function(spec: str, offered: dict[str, Any]) -> keras.Model:
    module_name, function_name = spec.split(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    with foreign_code(lambda problem: not_importable(spec, problem)):
        function = getattr(importlib.import_module(module_name), function_name)
        signature = inspect.signature(function)
    unknown = [
        name
        for name, parameter in signature.parameters.items()
        if name not in offered and parameter.default is parameter.empty and parameter.kind not in _VARIADIC
    ]
    if unknown:
        raise ModelError(
            f"The function of a `module:function` model may only have `image_shape` and `classes` as parameters "
            f"without a default. Received: {spec!r} with {', '.join(unknown)}"
        )
    given = inspect.BoundArguments(
        signature, OrderedDict((name, offered[name]) for name in signature.parameters if name in offered)
    )
    with foreign_code(lambda problem: _not_returned(spec, problem)):
        model = function(*given.args, **given.kwargs)
    require_keras_model(model, f"{spec!r} must return")
    return model


def _not_returned(spec: str, problem: str) -> ModelError:
    return ModelError(
        f"The function of a `module:function` model must return a keras.Model. Received: {spec!r} ({problem})"
    )
