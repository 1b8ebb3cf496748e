"""The default network: made for a laptop.

(placeholder header: figures follow from the recipe)
"""

from __future__ import annotations

from typing import Any

import keras

from lrdiag.models.blocks import convolution

WEIGHT_DECAY = 5e-4


def build_fast(classes: int) -> list[Any]:
    """The layers between the normalised image and the logits.

    Args:
        classes: How many logits there are.
    """
    return [
        *convolution(32, 3, strides=2),
        *convolution(64, 3),
        keras.layers.MaxPooling2D(),
        *convolution(128, 3),
        keras.layers.MaxPooling2D(),
        *convolution(256, 3),
        keras.layers.GlobalMaxPooling2D(),
        keras.layers.Dense(classes, dtype="float32"),
    ]
