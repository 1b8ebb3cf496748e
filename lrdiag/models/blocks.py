"""What the networks are built of."""

from __future__ import annotations

from typing import Any

import keras

# Keras's 0.99 remembers hundreds of steps, longer than a short training lasts: its averages would be those of the
# untrained network, and validation would suffer.
BATCH_NORM_MOMENTUM = 0.9


def convolution(filters: int, size: int, strides: int = 1, **arguments: Any) -> list[Any]:
    """A convolution, batch normalisation and ReLU; the bias is left to the normalisation.

    Args:
        filters: Number of output channels.
        size: Height and width of the kernel.
        strides: Step of the kernel in both directions.
        **arguments: Passed on to `keras.layers.Conv2D`.
    """
    return [
        keras.layers.Conv2D(filters, size, strides, padding="same", use_bias=False, **arguments),
        keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM),
        keras.layers.ReLU(),
    ]
