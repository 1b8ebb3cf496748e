"""Everything of Grad-CAM that is TensorFlow's own: the tape and the compiled function."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras
import tensorflow as tf

from lrdiag.explain.tap import tapped, without_softmax
from lrdiag.explain.weighting import grad_cam


def compile_explainer(
    model: keras.Model, layer: keras.Layer | None, softmax: keras.Layer | None, image_shape: tuple[int, ...]
) -> Callable[[Any, Any], tuple[Any, ...]]:
    """Compiles prediction and Grad-CAM of the misclassified images into one function.

    Args:
        model: Any Keras model of one input and one output.
        layer: The layer whose feature maps are weighted; `None` predicts only.
        softmax: The layer that turns logits into probabilities, taken out while the function is traced.
        image_shape: `(height, width, channels)`.

    Returns:
        A function `(images, labels) -> (scores, wrong, predicted_maps, true_maps)` over `uint8` images of shape
        `(n, *image_shape)` and `int64` labels of shape `(n,)`: `float32` scores `(n, classes)`, the `int64` places
        `(m,)` in the batch of the misclassified images, and `float32` maps `(m, h, w)` of their predicted and of
        their true class; without a `layer` the scores and places alone. It is traced once, whatever the batch size.
    """

    def explain(images: Any, labels: Any) -> tuple[Any, ...]:
        features: list[Any] = []
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape, without_softmax(softmax):

            def watch(output: Any) -> Any:
                tape.watch(output)
                features.append(output)
                return output

            with tapped(layer, watch) if layer else nullcontext():
                scores = tf.cast(model(images, training=False), tf.float32)
            # as `Predictions` has it: a row that holds a NaN counts as class 0
            broken = tf.reduce_any(tf.math.is_nan(scores), axis=1)
            predicted = tf.where(broken, tf.constant(0, tf.int64), tf.argmax(scores, axis=1))
            wrong = tf.reshape(tf.where(predicted != labels), [-1])
            targets = [tf.gather(scores, classes, batch_dims=1) for classes in (predicted, labels)]
        if layer is None:
            return scores, wrong
        maps = [grad_cam(features[-1], tape.gradient(target, features[-1])) for target in targets]
        return scores, wrong, *(tf.gather(each, wrong) for each in maps)

    signature = [tf.TensorSpec((None, *image_shape), tf.uint8), tf.TensorSpec((None,), tf.int64)]
    compiled: Callable[[Any, Any], tuple[Any, ...]] = tf.function(explain, input_signature=signature)
    return compiled
