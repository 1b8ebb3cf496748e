"""The structure of a Keras model: its layers, and an example of its input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import tree


def example_input(model: keras.Model, images: int = 1) -> Any:
    """Returns an input of noise for some images, a nest of arrays, or `None` if the model states no input shape."""
    inputs = _symbolic_input(model)
    if inputs is None or any(None in tensor.shape[1:] for tensor in tree.flatten(inputs)):
        return None
    generator = np.random.default_rng(0)

    def noise(tensor: Any) -> np.ndarray:
        if "float" in tensor.dtype:
            return generator.uniform(size=(images, *tensor.shape[1:])).astype(tensor.dtype)
        if len(tensor.shape) >= 4:
            return generator.integers(0, 256, (images, *tensor.shape[1:])).astype(tensor.dtype)
        return np.zeros((images, *tensor.shape[1:]), tensor.dtype)  # the input may be an index, and 0 is always valid

    return tree.map_structure(noise, inputs)


def parts(model: keras.Operation, prefix: str = "") -> Iterator[tuple[str, keras.Operation]]:
    """Yields every layer and bare operation inside `model`, at any depth, with its path: `"backbone/block5"`."""
    bare = [each for each in getattr(model, "operations", []) if not isinstance(each, keras.Layer)]
    for part in (*_sublayers(model), *bare):
        yield prefix + part.name, part
        yield from parts(part, f"{prefix}{part.name}/")


def kernel_of(layer: keras.Operation) -> keras.Variable | None:
    """Returns the largest weight of a layer that has two axes or more, or `None`."""
    own = [each for each in getattr(layer, "weights", ()) if len(each.shape) > 1 and "seed" not in each.name]
    if isinstance(layer, keras.layers.Embedding):
        return None
    return max(own, key=lambda each: int(np.prod(each.shape)), default=None)


def outputs_in_graph(model: keras.Model, layer: keras.Operation) -> list[Any]:
    """Returns the symbolic output of each call of `layer` in the graph of a Functional or Sequential model.

    Graphs of nested models are not searched.
    """
    # Private, because the public `layer.output` is that of the layer's first call, which may belong to another graph:
    # a Sequential model builds a new one for each layer that is added, for example when it is loaded.
    found, seen, pending = [], set(), list(model.outputs)
    while pending:
        tensor = pending.pop()
        if id(tensor) not in seen:
            seen.add(id(tensor))
            operation, node_index, _ = tensor._keras_history
            pending += operation._inbound_nodes[node_index].input_tensors
            if operation is layer:
                found.append(tensor)
    return found


def _symbolic_input(model: keras.Model) -> Any:
    """Returns the nest of tensors that a Functional or built Sequential model takes, or `None` for other models."""
    if not getattr(model, "inputs", None):
        return None
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def _sublayers(part: keras.Operation) -> list[keras.Layer]:
    if isinstance(part, keras.Model):
        return list(part.layers)
    if isinstance(part, keras.Layer):
        # Private, because a Keras layer has no public list of the layers that were assigned to its attributes.
        return list(part._flatten_layers(include_self=False, recursive=False))
    return []
