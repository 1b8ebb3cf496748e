"""Scales pixels for a model, and converts the model's inputs back to images."""

from __future__ import annotations

import numpy as np

from lrdiag.errors import DataError, require_choice
from lrdiag.vocabulary import PREPROCESSINGS, Preprocessing

_MEAN_RGB = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet, as in `keras.applications`
_DEVIATION_RGB = np.array([0.229, 0.224, 0.225], np.float32)
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


def read_off(images: np.ndarray) -> Preprocessing:
    """Infers from their values how images were scaled.

    Example:
        >>> read_off(np.array([0.0, 0.7])), read_off(np.array([-0.3, 0.7])), read_off(np.array([0.0, 200.0]))
        ('0..1', '-1..1', 'raw')

    Args:
        images: A batch of model inputs.

    Raises:
        DataError: If the values are ambiguous.
    """
    low, high = float(images.min()), float(images.max())
    if images.dtype == np.uint8 or (low >= 0 and 1 < high <= 255):
        return "raw"
    if low >= 0 and high <= 1:
        return "0..1"
    if low >= -1 and high <= 1:
        return "-1..1"
    raise DataError(
        "To show images, lrdiag must know how they were scaled. Pass `preprocess=`, one of "
        f"{', '.join(PREPROCESSINGS)}, or pass the images to show as `display=`. "
        f"Received: values from {low:.4g} to {high:.4g}"
    )
