"""Several devices and several processes with JAX, as `keras.distribution` describes them."""

from __future__ import annotations

from typing import Any

import jax
import keras
from keras import tree


def devices_of_batch() -> int:
    """Returns the number of devices that share a batch."""
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else int(distribution.num_model_replicas)


def divided(arrays: Any) -> Any:
    """Returns a nest of arrays, each divided among the devices that share a batch."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return arrays

    def placed(array: Any) -> jax.Array:
        return jax.device_put(array, distribution.get_data_layout(array.shape).backend_layout)

    return tree.map_structure(placed, arrays)
