"""How pixels are scaled for a network, and how a picture is made of them again."""

from __future__ import annotations

import numpy as np

from lrdiag.errors import DataError, require_choice
from lrdiag.vocabulary import PREPROCESSINGS, Preprocessing

_MEAN_RGB = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet, as `keras.applications` has them
_DEVIATION_RGB = np.array([0.229, 0.224, 0.225], np.float32)
_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)


def preprocess(images: np.ndarray, how: Preprocessing) -> np.ndarray:
    """Scales pictures as a network was trained to see them.

    Example:
        >>> preprocess(np.array([[[[0], [255]]]], np.uint8), "-1..1").ravel().tolist()
        [-1.0, 1.0]

    Args:
        images: `uint8` array of shape `(n, height, width, channels)`, values 0–255.
        how: `"raw"`: not at all. `"0..1"`, `"-1..1"`: onto that range. `"torch"`, `"caffe"`: as the preprocessing of
            `keras.applications` in these modes does. `"standardized"`: each image to mean 0 and deviation 1.

    Returns:
        The images as they were for `"raw"`, else a `float32` array of their shape.

    Raises:
        SettingsError: If there is no such way.
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
    """Makes pictures of what a network takes.

    Example:
        >>> undo(np.array([[[[-1.0], [1.0]]]]), "-1..1").ravel().tolist()
        [0, 255]

    Args:
        images: Array of shape `(n, height, width, channels)`.
        how: What was done to them, as `preprocess` takes it. What was `"standardized"` cannot be had back: each
            picture is stretched between its own extremes.

    Returns:
        `uint8` array of the same shape.

    Raises:
        SettingsError: If there is no such way.
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
    """What was done to images, where their values tell.

    Example:
        >>> read_off(np.array([0.0, 0.7])), read_off(np.array([-0.3, 0.7])), read_off(np.array([0.0, 200.0]))
        ('0..1', '-1..1', 'raw')

    Args:
        images: A batch as the network takes it.

    Raises:
        DataError: If the values do not tell.
    """
    low, high = float(images.min()), float(images.max())
    if images.dtype == np.uint8 or (low >= 0 and 1 < high <= 255):
        return "raw"
    if low >= 0 and high <= 1:
        return "0..1"
    if low >= -1 and high <= 1:
        return "-1..1"
    raise DataError(
        "To show images, lrdiag must know how they were scaled: say it with `preprocess=`, one of "
        f"{', '.join(PREPROCESSINGS)}, or give the pictures themselves with `display=`. "
        f"Received: values from {low:.4g} to {high:.4g}"
    )
