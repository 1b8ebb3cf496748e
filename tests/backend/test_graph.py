"""The layers of a model, and an example of its input."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from lrdiag.backend.graph import example_input, outputs_in_graph, parts

L = keras.layers


class Block(L.Layer):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="block")
        self.first = L.Conv2D(2, 1, name="first")
        self.others = [L.ReLU(name="second"), keras.Sequential([L.Dense(2, name="dense")], name="inner")]

    def call(self, inputs: Any) -> Any:
        return self.others[1](self.others[0](self.first(inputs)))


def test_the_layers_inside_a_custom_layer_are_found() -> None:
    """Fails if Keras changes `Layer._flatten_layers`, which has no public alternative."""
    model = keras.Sequential([keras.Input((4, 4, 1)), Block(), L.Flatten(name="flat")])
    assert [path for path, _ in parts(model)] == [
        "block", "block/first", "block/second", "block/inner", "block/inner/dense", "flat",
    ]  # fmt: skip


def test_bare_operations_and_nested_models_are_found() -> None:
    inputs = keras.Input((4,), name="inputs")
    inner = keras.Sequential([keras.Input((4,)), L.Dense(4, name="dense")], name="inner")
    model = keras.Model(inputs, keras.ops.relu(inner(inputs)))
    *layers, bare = (path for path, _ in parts(model))
    assert layers == ["inputs", "inner", "inner/dense"]
    assert bare.startswith("relu")


def test_an_example_has_the_structure_shape_and_dtype_of_the_inputs() -> None:
    image, index = keras.Input((4, 4, 3), name="image"), keras.Input((), dtype="int32", name="index")
    scores = L.Dense(2)(L.Concatenate()([L.Flatten()(image), L.Embedding(5, 3)(index)]))
    for inputs in ({"image": image, "index": index}, [image, index]):
        example = example_input(keras.Model(inputs, scores))
        assert keras.tree.map_structure(lambda array: (array.shape, str(array.dtype)), example) == (
            keras.tree.map_structure(lambda tensor: ((1, *tensor.shape[1:]), tensor.dtype), inputs)
        )
    only = example_input(keras.Sequential([keras.Input((4, 4, 3)), L.Flatten()]))
    assert isinstance(only, np.ndarray)
    assert only.shape == (1, 4, 4, 3)


def test_a_model_without_a_known_input_shape_has_no_example() -> None:
    class Subclassed(keras.Model):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return inputs

    subclassed = Subclassed()
    subclassed(np.zeros((1, 4, 4, 3)))
    any_size = keras.Sequential([keras.Input((None, None, 3)), L.Conv2D(2, 1)])
    for model in (subclassed, keras.Sequential([L.Flatten()]), any_size):
        assert example_input(model) is None


def test_the_output_of_a_layer_is_that_in_the_graph_of_the_model() -> None:
    """Fails if Keras changes `_keras_history` or `_inbound_nodes`; the public `layer.output` is another tensor here."""
    shared = L.Dense(4)
    other = keras.Sequential([keras.Input((4,)), shared])
    inputs = keras.Input((4,))
    once = shared(inputs)
    model = keras.Model(inputs, L.Dense(2)(once))
    (found,) = outputs_in_graph(model, shared)
    assert found is once
    assert shared.output is other.outputs[0]
    twice = keras.Model(inputs, shared(once))
    assert len(outputs_in_graph(twice, shared)) == 2
    assert outputs_in_graph(keras.Sequential([keras.Input((4,)), other]), shared) == []
