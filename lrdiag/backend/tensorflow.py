"""Everything of Grad-CAM that is TensorFlow's own: the tape and the compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops, tree

from lrdiag.backend.tap import tapped
from lrdiag.errors import ModelError


def compile_explainer(
    score: Callable[[Any], Any],
    layer: keras.Operation,
    weigh: Callable[[Any, Any], Any],
    targets: Callable[[Any, Any], list[Any]],
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Compiles scores and heatmaps into one pass.

    Args:
        score: Takes a batch of inputs and returns the scores of the classes, a float32 tensor `(n, classes)`.
        layer: The layer whose feature maps are weighted: those of its last call that the score depends on.
        weigh: Takes its feature maps and the gradient of a target with respect to them; returns maps `(n, h, w)`.
        targets: Takes the scores and the labels; returns the scores to explain, tensors of shape `(n,)`.

    Returns:
        A function `(inputs, labels) -> (scores, maps)` over a nest of arrays and int64 labels `(n,)`: float32 scores
        `(n, classes)` and float32 maps `(targets, n, h, w)`. It is traced once, whatever the size of the batch, and
        again only for inputs of another type or shape.

    Raises:
        ModelError: When it is called, if no gradient flows from the scores to the layer.
    """

    def explain(inputs: Any, labels: Any) -> tuple[Any, Any]:
        features: list[Any] = []
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:

            def watch(output: Any) -> Any:
                tape.watch(output)
                features.append(output)
                return output

            with tapped(layer, watch):
                scores = score(inputs)
            explained = targets(scores, labels)

        def heatmap(target: Any) -> Any:
            gradients = zip(features, tape.gradient(target, features), strict=True)
            reached = [(maps, gradient) for maps, gradient in gradients if gradient is not None]
            if not reached:
                raise ModelError(
                    f"No gradient flows from the scores to the layer {layer.name!r}. Explain a layer after whatever "
                    "stops it, such as `stop_gradient` or rounding."
                )
            return weigh(*reached[-1])

        return scores, ops.stack([heatmap(target) for target in explained])

    return _traced_once(explain)


def compile_scores(score: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Compiles the scores alone; the result is called with a nest of arrays, and traced as `compile_explainer`'s is."""
    return _traced_once(score)


def _traced_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled once for every size of a batch, and again only for inputs of another type or shape."""
    compiled: dict[str, Any] = {}

    def run(*arrays: Any) -> Any:
        tensors = tree.map_structure(tf.convert_to_tensor, arrays)
        specs = tree.map_structure(lambda tensor: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype), tensors)
        kind = repr(specs)
        if kind not in compiled:
            compiled[kind] = tf.function(function, input_signature=specs, autograph=False)  # as `predict` has it
        return compiled[kind](*tensors)

    return run
