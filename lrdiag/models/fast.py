"""The default network, designed for a laptop.

The first convolution is not trained. Its filters whiten the patches of the training images (Coates and Ng, "Learning
Feature Representations with K-Means", 2012, section 2.1; as the first layer of a network in Jordan, "94 % on CIFAR-10
in 3.29 Seconds on a Single GPU", 2024). Maximum and average of the last feature maps are classified together.

CIFAR-10, 45,000 training images of 16, 24 and 32 pixels in turn, batch 256, one cycle whose peak a range test chose,
horizontal flips: test accuracy 0.807 (0.803–0.809) after 3 epochs, 39 s on two CPU cores, and 0.852 (0.850–0.853) after
10 (n=3 seeds, figures of `tests/benchmarks/main_job.py`).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from lrdiag.models.blocks import convolution

FEATURE_SCALE = 0.25  # of the pooled features: without it the first logits are large and the range test is noisy
SMALLEST_MAP = 4  # pixels: maps are not pooled below it
STEM_SIDE = 32  # pixels: larger images are reduced by the first convolution, to maps of 32 to 63 pixels
STEM_FILTERS = 16  # for each pixel of its stride
WHITENING_SHIFT = 1e-2  # added to the variances, so that directions of noise are not magnified
MOST_PATCHES = 200_000

_BLOCKS = ((32, True), (64, True), (96, False), (128, True), (192, False))
"""Filters of each convolution, and whether its maps are pooled."""


def build_fast(x: Any, classes: int, normalized: np.ndarray) -> Any:
    """Returns the logits for normalised images of any size.

    Args:
        x: Symbolic normalised images.
        classes: Number of classes.
        normalized: Some of the training images, normalised, `float32` of shape `(n, height, width, channels)`.
    """
    side = min(normalized.shape[1:3])
    stride = 2 ** max(0, int(np.log2(side / STEM_SIDE)))
    filters = whitening_filters(normalized, 2 * stride, STEM_FILTERS * stride)
    stem = keras.layers.Conv2D(
        filters.shape[-1],
        filters.shape[:2],
        strides=stride,
        padding="same",
        use_bias=False,
        trainable=False,
        name="whitening",
    )
    x = keras.layers.ReLU(name="whitening_relu")(stem(x))
    stem.set_weights([filters])
    side //= stride
    for number, (channels, is_pooled) in enumerate(_BLOCKS, 1):
        is_pooled = is_pooled and side // 2 >= SMALLEST_MAP
        x = convolution(x, f"conv{number}", channels, 3, pool_early=is_pooled)
        side = side // 2 if is_pooled else side
    pooled = [keras.layers.GlobalMaxPooling2D(name="max")(x), keras.layers.GlobalAveragePooling2D(name="average")(x)]
    x = keras.layers.Rescaling(FEATURE_SCALE)(keras.layers.Concatenate()(pooled))
    return keras.layers.Dense(classes, name="logits", dtype="float32")(x)


def whitening_filters(images: np.ndarray, size: int, filters: int) -> np.ndarray:
    """Returns filters that whiten the patches of images: the principal components, divided by their deviations.

    Each component is there with both signs, because ReLU follows.

    Example:
        >>> images = np.random.default_rng(0).normal(size=(16, 8, 8, 3))
        >>> whitening_filters(images, 2, 16).shape
        (2, 2, 3, 16)

    Args:
        images: Array of shape `(n, height, width, channels)`, at least `size` pixels high and wide.
        size: Height and width of the filters, in pixels.
        filters: Number of filters. It is lower if the patches have fewer than `filters / 2` values.

    Returns:
        A `float32` array of shape `(size, size, channels, filters)`, the largest components first.
    """
    patches = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))[:, ::2, ::2]
    chosen = patches[:: -(-patches[..., 0, 0, 0].size // MOST_PATCHES)]
    rows = chosen.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * images.shape[-1])
    variances, components = np.linalg.eigh(np.cov(rows, rowvar=False))
    whitening = (components / np.sqrt(variances.clip(0) + WHITENING_SHIFT))[:, ::-1][:, : filters // 2]
    both = np.concatenate([whitening, -whitening], axis=1)
    return np.asarray(both.reshape(size, size, images.shape[-1], -1), np.float32)
