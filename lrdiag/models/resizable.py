"""Models that take images of any size, with the layers of models that take one."""

from __future__ import annotations

import keras
import numpy as np

from lrdiag.errors import ModelError


def at_any_size(model: keras.Model, smallest: tuple[int, int], channels: int, classes: int) -> keras.Model:
    """Returns a model that takes images of any size, with the same layers and weights.

    Args:
        model: A model of images.
        smallest: The smallest height and width that it must take, in pixels.
        channels: Number of channels of the images.
        classes: Number of classes.

    Raises:
        ModelError: If its layers depend on the size of the images, as a dense layer on flattened maps does.
    """
    height, width = smallest
    try:
        resizable = _resizable(model)
        outputs = resizable(np.zeros((1, height, width, channels), np.float32), training=False)
    except Exception as error:  # a layer of the user may raise anything
        problem = f"which raises for {width} × {height} pixels: {type(error).__name__}: {error}"
        raise _for_one_size(model, problem) from error
    if tuple(outputs.shape) != (1, classes):
        received = f"which returns scores of shape {tuple(outputs.shape)} for an image of {width} × {height} pixels"
        raise _for_one_size(model, received)
    return resizable


def _for_one_size(model: keras.Model, received: str) -> ModelError:
    return ModelError(
        "A network that is trained on smaller images first must take images of any size, for example with global "
        f"pooling before its dense layers. Train another network, or without `progressive`. Received: {model.name!r}, "
        f"{received}"
    )


def _resizable(model: keras.Model) -> keras.Model:
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return model  # a subclassed model states no size
    (given,) = inputs
    anywhere = keras.Input((None, None, given.shape[-1]), dtype=given.dtype)
    return keras.models.clone_model(model, input_tensors=anywhere, clone_function=_shared)


def _shared(layer: keras.Layer) -> keras.Layer:
    return _resizable(layer) if isinstance(layer, keras.Model) else layer
