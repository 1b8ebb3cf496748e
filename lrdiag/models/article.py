"""The convolutional network of the learning-rate article that lrdiag is based on.

It has nine convolutions of 3×3 and 1×1, with batch normalization and ReLU after each but the last, and no dense layer:
the last 1×1 convolution returns a map of logits, which is averaged over the image.
"""

from __future__ import annotations

from typing import Any

import keras

from lrdiag.models.blocks import convolution

WEIGHT_PENALTY = 1e-4  # L2 penalty on every kernel, added to the loss


def build_article(classes: int) -> list[Any]:
    """Returns the layers from the normalised image of 32×32 pixels to the probabilities.

    Args:
        classes: Number of classes.
    """
    penalty = keras.regularizers.L2(WEIGHT_PENALTY)
    layers: list[Any] = []
    for block, (narrow, middle, wide) in enumerate(((None, 32, 64), (32, 64, 128), (32, 128, 256)), 1):
        if narrow:
            layers += convolution(f"block{block}_narrow", narrow, 1, kernel_regularizer=penalty)
        layers += convolution(f"block{block}_middle", middle, 3, kernel_regularizer=penalty)
        layers += convolution(f"block{block}_wide", wide, 3, kernel_regularizer=penalty)
        layers += [keras.layers.MaxPooling2D()]
    return [
        *layers,
        keras.layers.Conv2D(classes, 1, kernel_regularizer=penalty, name="logit_map"),
        keras.layers.AveragePooling2D(4),
        keras.layers.Flatten(),
        keras.layers.Softmax(dtype="float32"),
    ]
