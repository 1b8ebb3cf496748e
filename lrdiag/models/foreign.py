"""Networks that are not ours: a `.keras` file, or what a function returns."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import keras

from lrdiag.errors import ModelError

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def load_foreign(spec: str, image_shape: tuple[int, ...], classes: int) -> keras.Model:
    """Loads the network that `spec` names.

    Args:
        spec: The path of a `.keras` file, or `"module:function"`. The function is called with `image_shape` and
            `classes` where it has parameters of these names; `module` is looked for in the current folder too.
        image_shape: `(height, width, channels)`.
        classes: Number of classes.

    Raises:
        ModelError: If there is no such file or function, or it gives no Keras model.
    """
    if spec.endswith(".keras"):
        return _load_file(Path(spec))
    if spec.count(":") == 1:
        return _call_function(spec, {"image_shape": image_shape, "classes": classes})
    raise ModelError(f"The model must be `fast`, `article`, a .keras file, or `module:function`. Received: {spec!r}")


def _load_file(path: Path) -> keras.Model:
    if not path.is_file():
        raise ModelError(f"There is no such model file. Check the path. Received: {path}")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever a layer of the file raises
        raise ModelError(
            "A model file must load in Keras 3 without running code of its own (Lambda layers are refused). "
            f"Received: {path}: {type(error).__name__}: {error}"
        ) from error


def _call_function(spec: str, offered: dict[str, Any]) -> keras.Model:
    module_name, function_name = spec.split(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
        signature = inspect.signature(function)
    except Exception as error:  # importing runs the user's module, which may raise anything
        raise ModelError(
            "`module:function` must name a function that can be imported from here. "
            f"Received: {spec!r} ({type(error).__name__}: {error})"
        ) from error
    unknown = [
        name
        for name, parameter in signature.parameters.items()
        if name not in offered and parameter.default is parameter.empty and parameter.kind not in _VARIADIC
    ]
    if unknown:
        raise ModelError(
            f"The function of a `module:function` model may take `image_shape` and `classes`, and nothing else "
            f"without a default. Received: {spec!r} with {', '.join(unknown)}"
        )
    given = inspect.BoundArguments(
        signature, OrderedDict((name, offered[name]) for name in signature.parameters if name in offered)
    )
    try:
        model = function(*given.args, **given.kwargs)
    except Exception as error:
        raise ModelError(
            f"The function of a `module:function` model must return a keras.Model. "
            f"Received: {spec!r} ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"{spec!r} must return a keras.Model. Received: {type(model).__name__}")
    return model
