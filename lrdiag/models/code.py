"""Which model files run code when they are loaded or used. Without trust, none of them is opened by Keras.

Keras's safe mode refuses the serialized code of lambdas, and layers that load a program. But a file can also name any
public function of Keras, such as one that writes a file, and Keras calls it. Therefore the configuration is read first.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from lrdiag.errors import ModelError
from lrdiag.model_files import untrusted

_CONFIG = "config.json"
_LARGEST = 100_000_000  # bytes; a small archive can contain much more, which Keras would read too
_PROGRAMS = ("TFSMLayer", "TorchModuleWrapper", "__lambda__")
"""Layers of a program that is in the file or beside it, and the serialized code of a function."""
_COMPUTING = (
    "builtins",
    "activations",
    "ops",
    "random",
    "losses",
    "metrics",
    "initializers",
    "regularizers",
    "constraints",
)
"""Modules of Keras whose functions only compute. It writes most of them as of the module `builtins`."""
_MERGING = ("add", "average", "concatenate", "dot", "maximum", "minimum", "multiply", "subtract")  # of keras.layers
_READING = ("get", "deserialize", "serialize")  # they make objects from another configuration


def refuse_code(path: Path) -> None:
    """Raises if a model file names anything but layers of Keras, functions of Keras that compute, and unknown classes.

    Keras refuses classes and functions that it doesn't know. Reads the configuration only.

    Args:
        path: A `.keras` or HDF5 file, or a folder with the content of a `.keras` file.

    Raises:
        ModelError: With what would run.
    """
    for config in _configs(path):
        for node in _nodes(config):
            if code := _code_of(node):
                raise untrusted(path, f"contains {code}")


def _code_of(node: dict[str, Any]) -> str | None:
    """Returns what a node of the configuration would run, or `None`."""
    for name in (node["class_name"], node.get("registered_name")):
        if name in _PROGRAMS:
            return "the code of a function" if name == "__lambda__" else f"{name} layers"
        if name == "Lambda" and not _names_function(node):
            return "Lambda layers"
    module = node.get("module")
    if not isinstance(module, str) or module.partition(".")[0] not in ("keras", "builtins"):
        return None
    name = node.get("config") if node["class_name"] == "function" else node["class_name"]
    return None if _only_computes(module, str(name)) else f"the function {module}.{name}"


def _names_function(layer: dict[str, Any]) -> bool:
    """Returns whether a Lambda layer calls a function by its name, which is a node of its own."""
    config = layer.get("config")
    function = config.get("function") if isinstance(config, dict) else None
    return isinstance(function, dict) and function.get("class_name") == "function"


def _only_computes(module: str, name: str) -> bool:
    """Returns whether `name` in a module of Keras is a class, or a function without effects beside its result."""
    room = module.removeprefix("keras.").partition(".")[0]
    if room == "applications":  # the others load weights, from a file or from the web
        return name == "preprocess_input"
    if name[:1].isupper():
        return True
    return name not in _READING and (room in _COMPUTING or (room == "layers" and name in _MERGING))


def _configs(path: Path) -> Iterator[Any]:
    """Yields the configurations that Keras reads. Of a broken file there are none, and Keras says why."""
    try:
        if path.is_dir():
            yield json.loads((path / _CONFIG).read_bytes())
        elif h5py.is_hdf5(path):
            with h5py.File(path) as file:
                yield from (
                    json.loads(file.attrs[name]) for name in ("model_config", "training_config") if name in file.attrs
                )
        else:
            with zipfile.ZipFile(path) as archive:
                yield json.loads(_read(archive, path))
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError, zipfile.BadZipFile):
        return


def _read(archive: zipfile.ZipFile, path: Path) -> bytes:
    size = archive.getinfo(_CONFIG).file_size
    if size > _LARGEST:
        raise ModelError(
            f"The configuration of a model must have at most {_LARGEST / 1e6:.0f} MB. Received: {path} with "
            f"{size / 1e6:.0f} MB in {_CONFIG}"
        )
    return archive.read(_CONFIG)


def _nodes(config: Any) -> Iterator[dict[str, Any]]:
    """Yields every object with a class name in a configuration, at any depth."""
    left = [config]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            if "class_name" in node:
                yield node
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)
