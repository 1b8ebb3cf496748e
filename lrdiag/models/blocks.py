"""What the networks are built of."""

from __future__ import annotations

from typing import Any

import keras

# Keras's 0.99 remembers hundreds of steps, longer than a short training lasts: its averages would be those of the
# untrained network, and validation would suffer.
BATCH_NORM_MOMENTUM = 0.9


def convolution(name: str, filters: int, size: int, *, pool_early: bool = False, **arguments: Any) -> list[Any]:
    """A convolution, batch normalisation and ReLU; the bias is left to the normalisation.

    Args:
        name: What the report calls it; its ReLU is `<name>_relu`.
        filters: Number of output channels.
        size: Height and width of the kernel.
        pool_early: Take the maximum of 2×2 pixels right after the convolution, where it saves the layers that follow
            three quarters of their work.
        **arguments: Passed on to `keras.layers.Conv2D`.
    """
    pooling = [keras.layers.MaxPooling2D(name=f"{name}_pool")] if pool_early else []
    return [
        keras.layers.Conv2D(filters, size, padding="same", use_bias=False, name=name, **arguments),
        *pooling,
        keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm"),
        keras.layers.ReLU(name=f"{name}_relu"),
    ]
