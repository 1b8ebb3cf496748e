"""The features of an image: what the last layer with weights receives."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.graph import kernel_of, parts
from lrdiag.backend.tap import Call

MOST = 512
"""Number of features of an image at most. If there are more, they are projected at random."""


def last_weighted(calls: list[Call], inputs: Any) -> keras.Operation | None:
    """Returns the layer of the last call with a kernel, or `None` if its input is not one row for each image.

    Args:
        calls: The calls of all layers for one image.
        inputs: The inputs of the model for that image. A layer that receives them has no features.
    """
    images = {tuple(array.shape) for array in tree.flatten(inputs)}
    for call in reversed(calls):
        if kernel_of(call.layer) is not None and not any(True for _ in parts(call.layer)):
            shape: tuple[int | None, ...] = tuple(getattr(call.input, "shape", ()))
            usable = len(shape) > 1 and shape[0] == 1 and None not in shape[1:] and shape not in images
            return call.layer if usable else None
    return None


def features_of(layer: keras.Operation | None, received: Any) -> Any:
    """Returns features, a float32 tensor of shape `(n, d)`.

    Args:
        layer: The layer.
        received: What it received. It is averaged over all axes between the batch and the channels.
    """
    features = ops.cast(received, "float32")
    axes = len(features.shape)
    channels = 1 if getattr(layer, "data_format", None) == "channels_first" else axes - 1
    places = tuple(axis for axis in range(1, axes) if axis != channels)
    features = ops.mean(features, axis=places) if places else features
    if features.shape[1] <= MOST:
        return features
    return ops.matmul(features, _projection(features.shape[1]))


def _projection(size: int) -> np.ndarray:
    """A random matrix that keeps distances, of shape `(size, MOST)`. The same in each run."""
    drawn = np.random.default_rng(0).standard_normal((size, MOST), np.float32)
    return np.asarray(drawn / np.sqrt(np.float32(MOST)))
