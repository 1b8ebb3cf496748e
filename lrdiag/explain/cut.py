"""Any model as a Functional one of two layers, cut at the layer to explain: libraries find their way in that."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from lrdiag.backend.tap import tapped
from lrdiag.errors import ModelError

EXPLAINED = "explained"  # the name of the layer that returns the feature maps

Scores = Callable[[list[Any]], Any]


def cut_model(scores: Scores, layer: keras.Operation, channel_axis: int, arrays: list[np.ndarray]) -> keras.Model:
    """A model of the scores, in which a layer named `EXPLAINED` returns the feature maps.

    All that comes before the maps is one layer of it, and all that comes after is the other. Both run what `scores`
    runs, tapped at `layer`, so that nothing is cloned or changed. A layer that is called several times is cut where
    `Engine` looks: at its last call that the scores depend on.

    Args:
        scores: Takes a list of float32 inputs and returns the scores of the classes, a float32 tensor `(n, classes)`.
        layer: The layer whose output the feature maps are; `scores` calls it.
        channel_axis: Of that output; the maps are `(n, h, w, channels)`.
        arrays: Inputs, of which the shapes are taken.

    Raises:
        ModelError: If no gradient flows from the scores to the layer.
    """
    cut_at = 0

    def before(inputs: list[Any]) -> Any:
        nonlocal cut_at
        outputs: list[Any] = []
        with tf.GradientTape(watch_accessed_variables=False) as tape:

            def watch(output: Any) -> Any:
                tape.watch(output)
                outputs.append(output)
                return output

            with tapped(layer, watch):
                explained = scores(inputs)
        reached = [place for place, each in enumerate(tape.gradient(explained, outputs)) if each is not None]
        if not reached:
            raise ModelError(f"No gradient flows from the scores to the layer {layer.name!r}. Explain a later layer.")
        cut_at = reached[-1]
        features = ops.cast(ops.moveaxis(outputs[cut_at], channel_axis, -1), "float32")
        return ops.stop_gradient(features)  # nobody asks for the gradient before the layer, so it takes no memory

    def after(features_and_inputs: list[Any]) -> Any:
        features, *inputs = features_and_inputs
        call = count()

        def exchange(output: Any) -> Any:
            given = ops.cast(ops.moveaxis(features, -1, channel_axis), output.dtype)
            return given if next(call) == cut_at else output

        with tapped(layer, exchange):
            return scores(inputs)

    inputs = _inputs(arrays)
    features = _compiled(before, inputs, EXPLAINED)
    return keras.Model(inputs, _compiled(after, [features, *inputs], "scores"))


def whole_model(scores: Scores, arrays: list[np.ndarray]) -> keras.Model:
    """A model of the scores, in which a layer named `EXPLAINED` returns the first input."""
    inputs = _inputs(arrays)
    explained = keras.layers.Identity(dtype="float32", name=EXPLAINED)(inputs[0])
    return keras.Model(inputs, _compiled(scores, [explained, *inputs[1:]], "scores"))


def _inputs(arrays: list[np.ndarray]) -> list[Any]:
    return [keras.Input(array.shape[1:], dtype="float32", name=f"input_{place}") for place, array in enumerate(arrays)]


def _compiled(function: Scores, inputs: list[Any], name: str) -> Any:
    """Calls `function` as one compiled layer: what it computes in vain is left out, and a tape sees one operation."""
    specs = [tf.TensorSpec(tensor.shape, tf.float32) for tensor in inputs]
    graph = tf.function(function, input_signature=[specs], autograph=False).get_concrete_function()
    return keras.layers.Lambda(graph, tuple(graph.output_shapes[1:]), dtype="float32", name=name)(inputs)
