"""Translates HDF5 files of Keras 2, so that Keras 3 loads them.

Keras 3 reads the configuration of most models of Keras 2. What it doesn't read, although it has the same layers, is
rewritten here: arguments without effect, slashes in names, lists of a single input or output, the class names of Keras
2.13 and later, and arithmetic of TensorFlow with a number, as in `preprocess_input`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

_CONFIG = "model_config"
_MODELS = ("Functional", "Model", "Sequential")
_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")  # not in Keras 3
_ANY = object()
_NO_GROUPS = {"groups": 1}
_SEPARABLE = {"groups": 1, "kernel_initializer": _ANY, "kernel_regularizer": None, "kernel_constraint": None}
_RECURRENT = {"time_major": False}
_DROPOUT = {"trainable": _ANY, "noise_shape": None}
_RANDOM = {"rng_type": _ANY}
_NEUTRAL: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _NO_GROUPS),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _NO_GROUPS),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _SEPARABLE),
    **dict.fromkeys(("SimpleRNN", "LSTM", "GRU", "RNN"), _RECURRENT),
    **dict.fromkeys(("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"), _DROPOUT),
    **dict.fromkeys(("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast"), _RANDOM),
    **dict.fromkeys(("RandomCrop", "RandomHeight", "RandomWidth", "RandomBrightness"), _RANDOM),
}
"""Arguments that have no effect in a trained model, by class: the value with which they have none."""
_ARITHMETIC: dict[str, Callable[[float], tuple[float, float]]] = {
    "add": lambda number: (1.0, number),
    "subtract": lambda number: (1.0, -number),
    "multiply": lambda number: (number, 0.0),
    "truediv": lambda number: (1 / number, 0.0),
    "divide": lambda number: (1 / number, 0.0),
}
"""Operations of TensorFlow with a number, by the end of their name: scale and offset of the same `Rescaling`."""


@contextmanager
def translated_copy(path: Path) -> Iterator[Path | None]:
    """Yields a temporary copy of a model file that Keras 3 may be able to load, or `None` if it would be the same.

    Args:
        path: A model file. It stays unchanged.
    """
    config = config_of(path)
    translated = translate(config, version_of(path))
    if translated == config:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copyfile(path, Path(folder) / path.name))
        with h5py.File(copy, "r+") as file:
            file.attrs[_CONFIG] = json.dumps(translated)
        yield copy


def config_of(path: Path) -> Any:
    """Returns the configuration of the model in an HDF5 file, or `None` if there is none."""
    text = _attribute(path, _CONFIG)
    return None if text is None else json.loads(text)


def version_of(path: Path) -> str:
    """Returns the version of Keras that wrote an HDF5 file, or `""` if it isn't known."""
    return _attribute(path, "keras_version") or ""


def translate(config: Any, version: str) -> Any:
    """Translates a model's configuration from Keras 2 to Keras 3.

    Example:
        >>> translate({"class_name": "DepthwiseConv2D", "config": {"name": "conv/1", "groups": 1}}, "2.4.0")
        {'class_name': 'DepthwiseConv2D', 'config': {'name': 'conv_1'}}

    Args:
        config: The configuration, as `json.loads` returns it.
        version: The version of Keras that wrote it.
    """
    renamed = {name: name.replace("/", "_") for name in _layer_names(config) if "/" in name}
    return _translated(config, renamed, is_keras_2=not version.startswith("3."))


def _translated(node: Any, renamed: dict[str, str], is_keras_2: bool) -> Any:
    if isinstance(node, str):
        return renamed.get(node, node)
    if isinstance(node, list):
        return [_translated(each, renamed, is_keras_2) for each in node]
    if not isinstance(node, dict):
        return node
    if is_keras_2 and isinstance(node.get("layers"), list):
        node = _graph(node)
    node = {key: _translated(value, renamed, is_keras_2) for key, value in node.items()}
    return _without_neutral(node) if isinstance(node.get("config"), dict) else node


def _graph(model: dict[str, Any]) -> dict[str, Any]:
    """Translates the configuration of a model: its layers, and which call of a layer follows which."""
    layers = [_as_rescaling(_as_before_2_13(layer)) for layer in model["layers"]]
    nested = {layer["config"]["name"]: layer["class_name"] for layer in layers if layer["class_name"] in _MODELS}
    for layer in layers:
        if layer["class_name"] not in _OPERATIONS:
            calls = layer.get("inbound_nodes", [])
            layer |= {"inbound_nodes": [[_call(each, nested) for each in call] for call in calls]} if calls else {}
    # Keras 3 counts the calls of Functional models right at the ends of the graph, but not inside it.
    uncounted = {name for name, kind in nested.items() if kind == "Sequential"}
    ends = {
        end: [_call(each, uncounted) for each in model[end]]
        for end in ("input_layers", "output_layers")
        if end in model
    }
    # A list of one tensor would make the output of a nested model a list, which the next layer doesn't take.
    return {**model, "layers": layers, **{end: calls[0] if len(calls) == 1 else calls for end, calls in ends.items()}}


def _call(call: list[Any], nested: Collection[str]) -> list[Any]:
    """Returns a reference to a call of a layer. Keras 2 counts the making of a nested model as its first call."""
    name, index, *rest = call
    return [name, index - (name in nested and index > 0), *rest]


def _as_before_2_13(layer: dict[str, Any]) -> dict[str, Any]:
    """Returns a layer as Keras 2 wrote it before 2.13: Keras 3 knows the classes of that form."""
    kept = {key: value for key, value in layer.items() if key not in ("module", "registered_name", "build_config")}
    return {**kept, "class_name": layer.get("registered_name") or layer["class_name"]}


def _as_rescaling(layer: dict[str, Any]) -> dict[str, Any]:
    """Returns an operation of TensorFlow with a number as a layer `Rescaling`; other layers as they are."""
    if layer["class_name"] != "TFOpLambda":
        return layer
    operation = layer["config"]["function"].rpartition(".")[2]
    calls = layer["inbound_nodes"]
    numbers = [call[3].get("y") for call in calls]
    number = numbers[0] if numbers else None
    if operation not in _ARITHMETIC or not isinstance(number, int | float) or set(numbers) != {number}:
        return layer
    scale, offset = _ARITHMETIC[operation](number)
    config = {"name": layer["config"]["name"], "scale": scale, "offset": offset}
    nodes = [[[*call[:3], {}]] for call in calls]
    return {"class_name": "Rescaling", "name": layer["name"], "config": config, "inbound_nodes": nodes}


def _without_neutral(node: dict[str, Any]) -> dict[str, Any]:
    neutral = _NEUTRAL.get(node.get("class_name", ""), {})
    kept = {
        name: value
        for name, value in node["config"].items()
        if name not in neutral or neutral[name] not in (_ANY, value)
    }
    return {**node, "config": kept}


def _layer_names(node: Any) -> Iterator[str]:
    """Yields the names of all layers, at any depth."""
    if isinstance(node, list):
        for each in node:
            yield from _layer_names(each)
    elif isinstance(node, dict):
        config = node.get("config")
        if isinstance(config, dict) and isinstance(config.get("name"), str):
            yield config["name"]
        for each in node.values():
            yield from _layer_names(each)


def _attribute(path: Path, name: str) -> str | None:
    if not h5py.is_hdf5(path):
        return None
    with h5py.File(path) as file:
        value = file.attrs.get(name)
    return value.decode() if isinstance(value, bytes) else value
