"""The weights of a model as a whole."""

from __future__ import annotations

import hashlib

import keras
import numpy as np


def fingerprint(model: keras.Model) -> bytes:
    """Returns a hash of all weights of a model, trainable or not. Two states with the same hash are equal.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> before = fingerprint(model)
        >>> model.set_weights([weight + 1 for weight in model.get_weights()])
        >>> fingerprint(model) == before
        False
    """
    digest = hashlib.blake2b(digest_size=16)
    for weight in model.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).view(np.uint8).data)
    return digest.digest()
