"""Heatmaps drawn over the photographs that they explain."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from lrdiag import opencv
from lrdiag.errors import DataError, SettingsError, require_choice
from lrdiag.palette import GROWTH, turbo

ColorMap = Literal["turbo", "viridis", "inferno", "jet", "difference"]
Blend = Literal["heat", "constant"]

_USUAL_OPACITY: dict[Blend, float] = {"heat": 0.65, "constant": 0.3}
_GROWTH: dict[Blend, float] = {"heat": GROWTH, "constant": 0}
"""The power of the heat with which the opacity grows."""
_STEPS = 255
"""How many steps of colour lie between 0 and the peak."""
_NEGATIVE, _POSITIVE = np.array([0, 80, 255]), np.array([255, 50, 0])
"""Blue and vermilion keep apart in each of the three dichromacies: ΔE*ab ≥ 125, where red and green fall to 7."""


def overlay(
    images: ArrayLike,
    maps: ArrayLike,
    *,
    colormap: ColorMap = "turbo",
    blend: Blend = "heat",
    opacity: float | None = None,
    peak: ArrayLike | None = None,
) -> np.ndarray:
    """Draws each heatmap over its photograph.

    A map is enlarged to its photograph bilinearly, with half-pixel centres as in Keras's and TensorFlow's `resize`, and
    divided by its peak; what is hotter than the peak is drawn like the peak. A map of zeros leaves its photograph
    unmarked.

    Each map has a peak of its own unless you give one, so colours cannot be compared between pictures. To compare them,
    as those for the predicted and the true class, give all of them the same peak.

    Example:
        >>> photographs = np.full((2, 32, 32, 3), 255, np.uint8)
        >>> predicted, true = np.array([[[0.0, 4.0]], [[1.0, 0.0]]]), np.array([[[2.0, 0.0]], [[0.0, 3.0]]])
        >>> overlay(photographs, predicted).shape
        (2, 32, 32, 3)
        >>> as_in_the_article = overlay(photographs, predicted, colormap="jet", blend="constant")

        Two maps of each photograph on one scale, and why the one class and not the other:

        >>> peak = np.maximum(predicted, true).max(axis=(1, 2))
        >>> said, meant = overlay(photographs, predicted, peak=peak), overlay(photographs, true, peak=peak)
        >>> why_not = overlay(photographs, predicted - true, colormap="difference", peak=peak)

    Args:
        images: Photographs, grey or RGB: an array of shape `(n, height, width, 1 or 3)`, `uint8` with values 0–255 or
            floats in [0, 1]. One photograph may come without the first axis, if its map does too.
        maps: Floats of shape `(n, h, w)`, of any resolution, as Grad-CAM gives them: not rescaled. Negative values need
            `colormap="difference"`.
        colormap: The colours from 0 to the peak. `"turbo"` is cut before its end, which turns dark again; `"viridis"`
            and `"inferno"` are the ones for the colour-blind; `"jet"` is the article's. `"difference"` is for signed
            maps: blue is negative, red is positive, and the peak is one of absolute values.
        blend: Where the colours cover the photograph: with `"heat"` the more the farther a map is from 0, so that what
            is cold stays visible; with `"constant"` equally everywhere, as `cv2.addWeighted` does.
        opacity: How much of the photograph the colours cover at the peak, from 0 to 1; `None` takes 0.65 with
            `blend="heat"`, and with `"constant"` 0.3, the article's.
        peak: Which value has the last colour: one number, or one for each map. `None` takes each map's highest absolute
            value, before it is enlarged.

    Returns:
        RGB pictures, a `uint8` array of shape `(n, height, width, 3)`, or `(height, width, 3)` of one photograph.

    Raises:
        DataError: If photographs or maps are of another shape, kind or range, do not match, or are not finite.
        SettingsError: If another argument is outside the values it may take.
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
    covered = _opacity(opacity, blend) * np.abs(values[:, None]) ** _GROWTH[blend]
    kept, colours = (1 - covered).astype(np.float32), (covered * _colours(colormap, values)).astype(np.float32)

    size = pictures.shape[2], pictures.shape[1]
    # Picture by picture: what one needs stays in the cache, and the memory does not grow with their number.
    for picture, heatmap, highest in zip(pictures, maps, peaks, strict=True):
        if heatmap.any():
            enlarged = opencv.resize(heatmap, size, interpolation=opencv.INTER_LINEAR)
            relative = np.clip(enlarged, lowest * highest, highest) / highest
            step = np.rint(_STEPS * (relative - lowest)).astype(np.intp)
            picture[:] = np.rint(picture * kept.take(step, axis=0) + colours.take(step, axis=0))
    return pictures


def _rgb(images: np.ndarray) -> np.ndarray:
    """A copy of the photographs, `uint8` of shape `(n, height, width, 3)`."""
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            "Images must be of shape (n, height, width, 1 or 3), or (height, width, 1 or 3) with one map of shape "
            f"(h, w). Received: shape={images.shape}"
        )
    if np.issubdtype(images.dtype, np.floating):
        if not ((images >= 0) & (images <= 1)).all():
            raise DataError(
                "Images of floats must lie in [0, 1]. Divide 0–255 by 255, or pass them as uint8. "
                f"Received: values from {images.min()} to {images.max()}"
            )
        images = np.rint(255 * images).astype(np.uint8)
    elif images.dtype != np.uint8:
        raise DataError(f"Images must be uint8, 0–255, or floats in [0, 1]. Received: dtype={images.dtype}")
    return np.array(np.broadcast_to(images, (*images.shape[:3], 3)), order="C")


def _checked(maps: np.ndarray, count: int, *, signed: bool) -> np.ndarray:
    """The maps as `float32`, one for each photograph."""
    if maps.ndim != 3 or len(maps) != count or 0 in maps.shape[1:] or not np.issubdtype(maps.dtype, np.floating):
        raise DataError(
            "There must be one map of floats for each image, in an array of shape (n, h, w). "
            f"Received: shape={maps.shape}, dtype={maps.dtype}, for {count} images"
        )
    maps = maps.astype(np.float32)
    broken = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
    if len(broken):
        raise DataError(f"Maps must be finite. Received: NaN or infinite values in {len(broken)}, first in {broken[0]}")
    if not signed and (maps < 0).any():
        raise DataError(
            "Maps must not be negative, unless they are drawn with colormap='difference'. "
            f"Received: values down to {maps.min()}"
        )
    return maps


def _peaks(peak: ArrayLike | None, maps: np.ndarray) -> np.ndarray:
    """The value of each map that has the last colour; only a map of zeros may have none."""
    if peak is None:
        return np.asarray(np.abs(maps).max(axis=(1, 2)))
    given = np.asarray(peak, np.float32)
    if given.shape not in ((), (len(maps),)):
        raise SettingsError(
            f"Argument `peak` must be one number or one for each of the {len(maps)} maps. Received: shape={given.shape}"
        )
    peaks = np.broadcast_to(given, len(maps))
    unusable = ~np.isfinite(peaks) | (peaks < 0) | ((peaks == 0) & maps.any(axis=(1, 2)))
    if unusable.any():
        raise SettingsError(
            "Argument `peak` must be finite and more than 0, or 0 for a map of zeros. "
            f"Received: peak={peaks[unusable][0]}"
        )
    return peaks


def _opacity(opacity: float | None, blend: Blend) -> float:
    if opacity is None:
        return _USUAL_OPACITY[blend]
    if not 0 <= opacity <= 1:
        raise SettingsError(f"Argument `opacity` must be in [0, 1]. Received: opacity={opacity}")
    return opacity


def _colours(colormap: ColorMap, values: np.ndarray) -> np.ndarray:
    """The colour of each value between -1 or 0 and 1, an array of shape `(values, 3)`."""
    if colormap == "difference":
        # White at 0. The root brings colour to where the heat lets little of it through.
        hues = np.where(values[:, None] < 0, _NEGATIVE, _POSITIVE)
        return np.asarray(255 + np.sqrt(np.abs(values[:, None])) * (hues - 255))
    if colormap == "turbo":
        return turbo(values)
    places = np.rint(255 * values[:, None]).astype(np.uint8)
    return np.asarray(opencv.applyColorMap(places, getattr(opencv, f"COLORMAP_{colormap.upper()}"))[:, 0, ::-1])
