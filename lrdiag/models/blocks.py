"""Building blocks of the networks."""

from __future__ import annotations

from typing import Any

import keras

# Keras's default of 0.99 averages over hundreds of steps, longer than a short training run lasts, so validation would
# use the statistics of the untrained network.
BATCH_NORM_MOMENTUM = 0.9


def convolution(x: Any, name: str, filters: int, size: int, *, pool_early: bool = False, **arguments: Any) -> Any:
    """Applies a convolution without bias, then batch normalisation and ReLU.

    Args:
        x: Symbolic feature maps.
        name: Name of the convolution; its ReLU is `<name>_relu`.
        filters: Number of output channels.
        size: Height and width of the kernel.
        pool_early: Whether to take the maximum of 2×2 pixels directly after the convolution, which reduces the cost
            of the following layers to a quarter.
        **arguments: Arguments of `keras.layers.Conv2D`.
    """
    x = keras.layers.Conv2D(filters, size, padding="same", use_bias=False, name=name, **arguments)(x)
    if pool_early:
        x = keras.layers.MaxPooling2D(name=f"{name}_pool")(x)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
