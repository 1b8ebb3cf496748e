"""Scales pixels for a model, and converts the model's inputs back to images."""

from __future__ import annotations

import numpy as np

from lrdiag.errors import require_choice
from lrdiag.vocabulary import PREPROCESSINGS, Preprocessing

_MEAN_RGB = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet, as in `keras.applications`
_DEVIATION_RGB = np.array([0.229, 0.224, 0.225], np.float32)
_OVERSHOT = 0.2  # of the range: how far interpolation can go beyond it
_HALF = 0.55  # images in -1..1 have values beyond this
_DARKEST = 0.1  # of 255: images in 0..255 have values beyond this
_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)


def preprocess(images: np.ndarray, how: Preprocessing) -> np.ndarray:
    """Scales images as the model expects them.

    Example:
        >>> preprocess(np.array([[[[0], [255]]]], np.uint8), "-1..1").ravel().tolist()
        [-1.0, 1.0]

    Args:
        images: `uint8` array of shape `(n, height, width, channels)`, values 0–255.
        how: `"raw"` changes nothing. `"0..1"` and `"-1..1"` scale to that range. `"torch"` and `"caffe"` are the modes
            of `keras.applications`. `"standardized"` scales each image to mean 0 and standard deviation 1.

    Returns:
        For `"raw"` the images themselves, otherwise a `float32` array of the same shape.

    Raises:
        SettingsError: If `how` is unknown.
    """
    require_choice("preprocess", how, PREPROCESSINGS)
    if how == "raw":
        return images
    pixels = images.astype(np.float32)
    if how == "0..1":
        return np.asarray(pixels / 255)
    if how == "-1..1":
        return np.asarray(pixels / 127.5 - 1)
    if how == "torch":
        return np.asarray((pixels / 255 - _MEAN_RGB) / _DEVIATION_RGB)
    if how == "caffe":
        return np.asarray(pixels[..., ::-1] - _MEAN_BGR)
    mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
    return np.asarray((pixels - mean) / np.maximum(pixels.std(axis=(1, 2, 3), keepdims=True), 1e-6))


def undo(images: np.ndarray, how: Preprocessing) -> np.ndarray:
    """Converts inputs of a model back to images.

    Example:
        >>> undo(np.array([[[[-1.0], [1.0]]]]), "-1..1").ravel().tolist()
        [0, 255]

    Args:
        images: Array of shape `(n, height, width, channels)`.
        how: How they were scaled, as `preprocess` takes it. `"standardized"` can't be undone: each image is
            stretched from its minimum to its maximum.

    Returns:
        `uint8` array of the same shape.

    Raises:
        SettingsError: If `how` is unknown.
    """
    require_choice("preprocess", how, PREPROCESSINGS)
    if how == "raw" and images.dtype == np.uint8:
        return images
    pixels = images.astype(np.float32)
    if how == "0..1":
        pixels = pixels * 255
    elif how == "-1..1":
        pixels = (pixels + 1) * 127.5
    elif how == "torch":
        pixels = (pixels * _DEVIATION_RGB + _MEAN_RGB) * 255
    elif how == "caffe":
        pixels = (pixels + _MEAN_BGR)[..., ::-1]
    elif how == "standardized":
        low = pixels.min(axis=(1, 2, 3), keepdims=True)
        pixels = (pixels - low) * (255 / np.maximum(pixels.max(axis=(1, 2, 3), keepdims=True) - low, 1e-6))
    return np.asarray(np.rint(pixels).clip(0, 255), np.uint8)


def inferred(images: np.ndarray) -> Preprocessing | None:
    """Infers from their values how images were scaled, or returns `None` if the values do not tell.

    Interpolation may have overshot the range a little. Values within -0.5 and 0.5, or up to a tenth of 255, could be of
    several ranges, and would be shown as a grey or a black image if the wrong one was chosen.

    Example:
        >>> inferred(np.array([-0.02, 1.03])), inferred(np.array([-0.9, 0.7])), inferred(np.array([0.0, 200.0]))
        ('0..1', '-1..1', 'raw')
        >>> inferred(np.array([-2.1, 2.6])) is None
        True

    Args:
        images: A batch of model inputs.
    """
    low, high = float(images.min()), float(images.max())
    if images.dtype == np.uint8 and (high > 1 or low == high):
        return "raw"
    if low >= -_OVERSHOT and high <= 1 + _OVERSHOT:
        return "0..1" if images.dtype.kind == "f" else None
    if low >= -1 - _OVERSHOT and high <= 1 + _OVERSHOT:
        return "-1..1" if max(-low, high) > _HALF else None
    if low >= -_OVERSHOT * 255 and 255 * _DARKEST < high <= (1 + _OVERSHOT) * 255:
        return "raw"
    return None


def stretched(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Scales values between `low` and `high` to images.

    Example:
        >>> stretched(np.array([-2.0, 0.0, 2.0]), -2, 2).tolist()
        [0, 128, 255]

    Returns:
        `uint8` array of the same shape.
    """
    pixels = (images.astype(np.float32) - low) * (255 / max(high - low, 1e-6))
    return np.asarray(np.rint(pixels).clip(0, 255), np.uint8)
