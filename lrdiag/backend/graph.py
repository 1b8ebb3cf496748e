"""The structure of a Keras model: its layers and an example of its input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import tree


def example_input(model: keras.Model) -> Any:
    """An input of the model, a nest of arrays of noise; `None` where the model does not say what it takes."""
    generator = np.random.default_rng(0)

    def noise(tensor: Any) -> np.ndarray:
        if "float" in tensor.dtype:
            return generator.uniform(size=(1, *tensor.shape[1:])).astype(tensor.dtype)
        return np.zeros((1, *tensor.shape[1:]), tensor.dtype)  # an index, perhaps: 0 always exists

    inputs = getattr(model, "_inputs_struct", None)
    if inputs is None and isinstance(model, keras.Sequential) and model.built:
        inputs = model.inputs[0]
    if inputs is None or any(None in tensor.shape[1:] for tensor in tree.flatten(inputs)):
        return None
    return tree.map_structure(noise, inputs)


def parts(model: keras.Operation, prefix: str = "") -> Iterator[tuple[str, keras.Operation]]:
    """Every layer and bare operation inside `model`, however deep, with its path: `"backbone/block5"`."""
    layers = model._flatten_layers(include_self=False, recursive=False) if isinstance(model, keras.Layer) else []
    bare = [each for each in getattr(model, "operations", []) if not isinstance(each, keras.Layer)]
    for part in (*layers, *bare):
        yield prefix + part.name, part
        yield from parts(part, f"{prefix}{part.name}/")
