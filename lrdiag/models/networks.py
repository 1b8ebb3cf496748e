"""Builds or loads the network that a setting names, for training on raw pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lrdiag.errors import ModelError
from lrdiag.foreign_code import foreign_code
from lrdiag.models.article import build_article
from lrdiag.models.fast import build_fast
from lrdiag.models.foreign import load_foreign
from lrdiag.recipes import Recipe, recipe_of
from lrdiag.record.arrays import LabelledImages, is_probability

COUNTED_AT_ONCE = 512  # images, whose pixels are copied
SAMPLE = 4_000  # training images that a network is fitted to when it is built

_Build = Callable[[Any, int, np.ndarray], Any]
"""Takes symbolic normalised images, the number of classes, and a normalised sample of the training images."""


@dataclass(frozen=True)
class Network:
    """A model and the properties that training depends on.

    Attributes:
        name: The name in the settings.
        model: Takes raw pixels, 0–255, of shape `(n, height, width, channels)`; returns `(n, classes)`.
        from_logits: Whether the model returns logits; otherwise it returns probabilities.
        recipe: How it is trained, unless the settings say otherwise.
    """

    name: str
    model: keras.Model
    from_logits: bool
    recipe: Recipe


_BUILT_IN: dict[str, _Build] = {"fast": build_fast, "article": lambda x, classes, _: build_article(x, classes)}


def build_network(spec: str, train: LabelledImages, classes: int) -> Network:
    """Builds or loads the network that `spec` names, and checks that it fits the data.

    Args:
        spec: `"fast"`, `"article"`, the path of a `.keras` file, or `"module:function"`.
        train: The training images, whose statistics centre and scale the pixels of built-in networks.
        classes: Number of classes.

    Raises:
        ModelError: If the network cannot be loaded, or does not fit the images or the classes.
    """
    if spec in _BUILT_IN:
        model = _built(spec, _BUILT_IN[spec], train, classes)
    else:
        model = load_foreign(spec, train.images.shape[1:], classes)
    return Network(spec, model, not is_probability(_try_out(model, train, classes)), recipe_of(spec))


def _built(name: str, build: _Build, train: LabelledImages, classes: int) -> keras.Model:
    inputs = keras.Input(train.images.shape[1:])
    normalization = _normalization(train)
    sample = normalization(train.images[:: -(-len(train) // SAMPLE)])
    try:
        outputs = build(normalization(inputs), classes, np.asarray(keras.ops.convert_to_numpy(sample)))
    except ValueError as error:  # from a pooling larger than its input
        raise ModelError(
            f"The images must be large enough for the network `{name}`. Choose another network, or larger images. "
            f"Received: images of shape {train.images.shape[1:]}"
        ) from error
    return keras.Model(inputs, outputs, name=name)


def _normalization(train: LabelledImages) -> keras.layers.Normalization:
    """Returns a layer that centres and scales each channel with the statistics of the training images."""
    layer = keras.layers.Normalization(dtype="float32")  # in every precision of the network
    layer.build((None, *train.images.shape[1:]))
    # `adapt` imports TensorFlow on every engine, and rounds the variance to three digits
    layer.set_weights([*_mean_and_variance(train.images), np.zeros(())])
    layer.finalize_state()
    return layer


def _mean_and_variance(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and variance of each channel of `uint8` images, exactly."""
    channels = images.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(images), COUNTED_AT_ONCE):
        pixels = images[start : start + COUNTED_AT_ONCE].reshape(-1, channels)
        counts += [np.bincount(pixels[:, channel], minlength=256) for channel in range(channels)]
    values, total = np.arange(256), counts.sum(axis=1)
    mean = counts @ values / total
    return mean, counts @ values**2 / total - mean**2


def _try_out(model: keras.Model, train: LabelledImages, classes: int) -> np.ndarray:
    images = train.images[: min(8, len(train))]
    rule = f"The model must accept raw images of shape {images.shape[1:]}, values 0–255."
    with foreign_code(lambda problem: ModelError(f"{rule} Received: {problem}")):
        outputs = model(images, training=False)
    expected = (len(images), classes)
    if not hasattr(outputs, "shape") or tuple(outputs.shape) != expected:
        received = getattr(outputs, "shape", type(outputs).__name__)
        raise ModelError(
            f"The model must return one score per class: for {len(images)} images of {classes} classes the shape "
            f"{expected}. Change its last layer, or use the data that it was made for. Received: {received}"
        )
    scores = np.asarray(keras.ops.convert_to_numpy(outputs), dtype=np.float64)
    if not np.isfinite(scores).all():
        raise ModelError("The model must return finite scores for raw images. Received: NaN or infinite values")
    return scores
