"""The convolutional network of the learning-rate article that lrdiag is based on.

It has nine convolutions of 3×3 and 1×1, with batch normalization and ReLU after each but the last, and no dense layer:
the last 1×1 convolution returns a map of logits, which is averaged over the image.
"""

from __future__ import annotations

from typing import Any

import keras

from lrdiag.models.blocks import convolution

WEIGHT_PENALTY = 1e-4  # L2 penalty on every kernel, added to the loss


def build_article(x: Any, classes: int) -> Any:
    """Returns the probabilities for normalised images of 32×32 pixels.

    Args:
        x: Symbolic normalised images.
        classes: Number of classes.
    """
    penalty = keras.regularizers.L2(WEIGHT_PENALTY)
    for block, (narrow, middle, wide) in enumerate(((None, 32, 64), (32, 64, 128), (32, 128, 256)), 1):
        if narrow:
            x = convolution(x, f"block{block}_narrow", narrow, 1, kernel_regularizer=penalty)
        x = convolution(x, f"block{block}_middle", middle, 3, kernel_regularizer=penalty)
        x = convolution(x, f"block{block}_wide", wide, 3, kernel_regularizer=penalty)
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(classes, 1, kernel_regularizer=penalty, name="logit_map")(x)
    x = keras.layers.AveragePooling2D(4)(x)
    x = keras.layers.Flatten()(x)
    return keras.layers.Softmax(dtype="float32")(x)
