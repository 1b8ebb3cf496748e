"""Heatmaps drawn over their images."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from lrdiag import opencv, palette
from lrdiag.errors import DataError, SettingsError, require_choice

ColorMap = Literal["turbo", "viridis", "inferno", "jet", "difference"]
Blend = Literal["heat", "constant"]

_DEFAULT_OPACITY: dict[Blend, float] = {"heat": palette.OPACITY, "constant": 0.3}
_STEPS = 255
"""Number of colours between 0 and the peak."""


def overlay(
    images: ArrayLike,
    maps: ArrayLike,
    *,
    colormap: ColorMap = "turbo",
    blend: Blend = "heat",
    opacity: float | None = None,
    peak: ArrayLike | None = None,
) -> np.ndarray:
    """Draws each heatmap over its image.

    A heatmap is enlarged to its image bilinearly, with half-pixel centres as in Keras's and TensorFlow's `resize`, and
    divided by its peak; values above the peak are drawn like the peak. A heatmap of zeros leaves its image unchanged.

    By default every heatmap has its own peak, so colours of different pictures cannot be compared. To compare them, for
    example those for the predicted and the true class, pass the same peak for all.

    Example:
        >>> images = np.full((2, 32, 32, 3), 255, np.uint8)
        >>> predicted, true = np.array([[[0.0, 4.0]], [[1.0, 0.0]]]), np.array([[[2.0, 0.0]], [[0.0, 3.0]]])
        >>> overlay(images, predicted).shape
        (2, 32, 32, 3)
        >>> as_in_the_article = overlay(images, predicted, colormap="jet", blend="constant")

        Two heatmaps of each image on one scale, and what supports one class rather than the other:

        >>> peak = np.maximum(predicted, true).max(axis=(1, 2))
        >>> for_predicted, for_true = overlay(images, predicted, peak=peak), overlay(images, true, peak=peak)
        >>> difference = overlay(images, predicted - true, colormap="difference", peak=peak)

    Args:
        images: Images, grey or RGB: an array of shape `(n, height, width, 1 or 3)`, `uint8` with values 0–255 or floats
            in [0, 1]. A single image and its heatmap may have no first axis.
        maps: Heatmaps: floats of shape `(n, h, w)`, at any resolution, not rescaled. Negative values need
            `colormap="difference"`.
        colormap: The colours from 0 to the peak. `"turbo"` is used without its end, which turns dark again;
            `"viridis"` and `"inferno"` suit readers with colour vision deficiency; `"jet"` is the article's.
            `"difference"` is for signed heatmaps: blue is negative, red is positive, and the peak is an absolute value.
        blend: How the colours cover the image. `"heat"`: the more, the further the heatmap is from 0, so that the rest
            of the image stays visible. `"constant"`: equally everywhere, as `cv2.addWeighted` does.
        opacity: Opacity of the colours at the peak, from 0 to 1. Defaults to 0.65 with `blend="heat"`, as on the page,
            and to the article's 0.3 with `blend="constant"`.
        peak: The value that gets the last colour: one number, or one for each heatmap. Defaults to the highest absolute
            value of each heatmap, before it is enlarged.

    Returns:
        RGB pictures: a `uint8` array of shape `(n, height, width, 3)`, or `(height, width, 3)` for one image.

    Raises:
        DataError: If images or heatmaps have another shape, type or range, do not match, or are not finite.
        SettingsError: If another argument is out of its range.
    """
    images, maps = np.asarray(images), np.asarray(maps)
    if images.ndim == 3 and maps.ndim == 2:
        only = overlay(images[None], maps[None], colormap=colormap, blend=blend, opacity=opacity, peak=peak)
        return np.asarray(only[0])

    require_choice("colormap", colormap, get_args(ColorMap))
    require_choice("blend", blend, get_args(Blend))
    pictures = _rgb(images)
    maps = _checked(maps, len(pictures), signed=colormap == "difference")
    peaks = _peaks(peak, maps)

    lowest = -1 if colormap == "difference" else 0
    values = np.linspace(lowest, 1, 1 + _STEPS * (1 - lowest))
    most = _opacity(opacity, blend)
    covered = (palette.opacity(values, most) if blend == "heat" else np.full(values.shape, most))[:, None]
    kept, colours = (1 - covered).astype(np.float32), (covered * _colours(colormap, values)).astype(np.float32)

    size = pictures.shape[2], pictures.shape[1]
    # One picture at a time: its data stays in the processor's cache, and memory does not grow with their number.
    for picture, heatmap, highest in zip(pictures, maps, peaks, strict=True):
        if heatmap.any():
            enlarged = opencv.resize(heatmap, size, interpolation=opencv.INTER_LINEAR)
            relative = np.clip(enlarged, lowest * highest, highest) / highest
            step = np.rint(_STEPS * (relative - lowest)).astype(np.intp)
            picture[:] = np.rint(picture * kept.take(step, axis=0) + colours.take(step, axis=0))
    return pictures


def _rgb(images: np.ndarray) -> np.ndarray:
    """A copy of the images, `uint8` of shape `(n, height, width, 3)`."""
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            "Images must have the shape (n, height, width, 1 or 3), or (height, width, 1 or 3) with one heatmap of "
            f"shape (h, w). Received: shape={images.shape}"
        )
    if np.issubdtype(images.dtype, np.floating):
        if not ((images >= 0) & (images <= 1)).all():
            raise DataError(
                "Images of floats must be in [0, 1]. Divide 0–255 by 255, or pass them as uint8. "
                f"Received: values from {images.min()} to {images.max()}"
            )
        images = np.rint(255 * images).astype(np.uint8)
    elif images.dtype != np.uint8:
        raise DataError(f"Images must be uint8, 0–255, or floats in [0, 1]. Received: dtype={images.dtype}")
    return np.array(np.broadcast_to(images, (*images.shape[:3], 3)), order="C")


def _checked(maps: np.ndarray, count: int, *, signed: bool) -> np.ndarray:
    """The heatmaps as `float32`, one for each image."""
    if maps.ndim != 3 or len(maps) != count or 0 in maps.shape[1:] or not np.issubdtype(maps.dtype, np.floating):
        raise DataError(
            "There must be one heatmap of floats for each image, in an array of shape (n, h, w). "
            f"Received: shape={maps.shape}, dtype={maps.dtype}, for {count} images"
        )
    maps = maps.astype(np.float32)
    broken = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
    if len(broken):
        raise DataError(
            f"Heatmaps must be finite. Received: NaN or infinite values in {len(broken)}, first in {broken[0]}"
        )
    if not signed and (maps < 0).any():
        raise DataError(
            "Heatmaps must not be negative, unless they are drawn with colormap='difference'. "
            f"Received: values down to {maps.min()}"
        )
    return maps


def _peaks(peak: ArrayLike | None, maps: np.ndarray) -> np.ndarray:
    """The value of each heatmap that gets the last colour; only a heatmap of zeros may have the peak 0."""
    if peak is None:
        return np.asarray(np.abs(maps).max(axis=(1, 2)))
    given = np.asarray(peak, np.float32)
    if given.shape not in ((), (len(maps),)):
        raise SettingsError(
            f"Argument `peak` must be one number, or one for each of the {len(maps)} heatmaps. "
            f"Received: shape={given.shape}"
        )
    peaks = np.broadcast_to(given, len(maps))
    unusable = ~np.isfinite(peaks) | (peaks < 0) | ((peaks == 0) & maps.any(axis=(1, 2)))
    if unusable.any():
        raise SettingsError(
            "Argument `peak` must be finite and more than 0, or 0 for a heatmap of zeros. "
            f"Received: peak={peaks[unusable][0]}"
        )
    return peaks


def _opacity(opacity: float | None, blend: Blend) -> float:
    if opacity is None:
        return _DEFAULT_OPACITY[blend]
    if not 0 <= opacity <= 1:
        raise SettingsError(f"Argument `opacity` must be in [0, 1]. Received: opacity={opacity}")
    return opacity


def _colours(colormap: ColorMap, values: np.ndarray) -> np.ndarray:
    """The colour of each value, from -1 or 0 to 1, an array of shape `(values, 3)`."""
    if colormap == "difference":
        return palette.difference(values)
    if colormap == "turbo":
        return palette.turbo(values)
    places = np.rint(255 * values[:, None]).astype(np.uint8)
    return np.asarray(opencv.applyColorMap(places, getattr(opencv, f"COLORMAP_{colormap.upper()}"))[:, 0, ::-1])
