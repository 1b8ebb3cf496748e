"""The structure of a network: its layers and how they are connected, without their weights."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from lrdiag.vocabulary import NETWORKS


def structure_of(model: keras.Model, spec: str) -> str | None:
    """Returns a hash of the structure of a model, and of its file if it comes from one.

    The same function gives the same structure each time, although Keras numbers the names of its layers.

    Example:
        >>> def build(activation):
        ...     return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation)])
        >>> structure_of(build("relu"), "fast") == structure_of(build("relu"), "fast")
        True
        >>> structure_of(build("relu"), "fast") == structure_of(build("tanh"), "fast")
        False

    Args:
        model: The model.
        spec: The setting that names it: a name, a file, or `module:function`.

    Returns:
        The hash in hexadecimal, or `None` if the model has no configuration, as some subclassed ones.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = keras.saving.serialize_keras_object(model)
        places = {name: place for place, name in enumerate(dict.fromkeys(_names(config)))}
        text = json.dumps(_renamed(config, places), sort_keys=True, default=repr)
    except Exception:  # a layer of the user may raise anything
        return None
    digest = hashlib.sha256(text.encode(errors="replace"))
    if spec not in NETWORKS and Path(spec).is_file():
        digest.update(Path(spec).read_bytes())
    return digest.hexdigest()


def _names(config: Any) -> Iterator[str]:
    if isinstance(config, dict):
        if isinstance(config.get("name"), str):
            yield config["name"]
        config = list(config.values())
    if isinstance(config, list | tuple):
        for each in config:
            yield from _names(each)


def _renamed(config: Any, places: dict[str, int]) -> Any:
    """Replaces each name of a layer by its place, and leaves out how the model is compiled."""
    if isinstance(config, dict):
        return {key: _renamed(value, places) for key, value in config.items() if key != "compile_config"}
    if isinstance(config, list | tuple):
        return [_renamed(each, places) for each in config]
    return places.get(config, config) if isinstance(config, str) else config
