"""How much of the images augmentation leaves, and how it turns them."""

from __future__ import annotations

import keras
import numpy as np

from lrdiag.images.turning import TURNS

_ALIKE, _CLEARLY = 0.3, 0.1  # correlation of an augmented image with the turned one, and how far above the other


def likeness(changed: np.ndarray, plain: np.ndarray) -> float:
    """Returns the correlation of augmented images with the images themselves, averaged.

    An image is flipped and turned by right angles first, as fits it best: that keeps all that it shows.

    Args:
        changed: The augmented images, of shape `(n, height, width, channels)`, or of any other shape.
        plain: The same images without augmentation.
    """
    return float(np.mean(np.max([_correlations(changed, each) for each in _turned(plain)], axis=0)))


def turned_shares(changed: np.ndarray, plain: np.ndarray) -> dict[str, float]:
    """Returns the share of the images that augmentation turns, by the name of the turn that fits best.

    A turn counts if the augmented image resembles the turned one, and clearly more than the image as it is.

    Args:
        changed: The augmented images, of shape `(n, height, width, channels)`, or of any other shape.
        plain: The same images without augmentation.
    """
    if plain.ndim != 4:
        return {}
    if keras.config.image_data_format() == "channels_first":
        changed, plain = (np.moveaxis(each, 1, -1) for each in (changed, plain))
    turns = {name: turn for name, turn in TURNS.items() if turn(plain[:1]).shape == plain[:1].shape}
    as_is = _correlations(changed, plain)
    likenesses = np.stack([_correlations(changed, turn(plain)) for turn in turns.values()])
    best = np.where(likenesses.max(axis=0) > np.maximum(as_is + _CLEARLY, _ALIKE), likenesses.argmax(axis=0), -1)
    return {name: float(np.mean(best == place)) for place, name in enumerate(turns)}


def _turned(images: np.ndarray) -> list[np.ndarray]:
    """The images, flipped and turned in all ways that keep their shape."""
    if images.ndim != 4:
        return [images]
    axes = (1, 2) if keras.config.image_data_format() == "channels_last" else (2, 3)
    is_square = images.shape[axes[0]] == images.shape[axes[1]]
    turned = [np.rot90(images, turns, axes) for turns in range(0, 4, 1 if is_square else 2)]
    return [*turned, *(np.flip(each, axes[1]) for each in turned)]


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    one, other = (each.reshape(len(each), -1) for each in (first, second))
    one, other = one - one.mean(axis=1, keepdims=True), other - other.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.square(one).sum(axis=1) * np.square(other).sum(axis=1))
    return np.asarray((one * other).sum(axis=1) / np.maximum(norms, 1e-12))
