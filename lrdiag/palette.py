"""Every colour of lrdiag: the page, the charts, the summary picture and the heatmaps, on the page and in `overlay`."""

from __future__ import annotations

import numpy as np

from lrdiag import opencv

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1a1c1f",
    "quiet": "#5a6068",
    "line": "#d9dce0",
    "wash": "#eef0f2",
    "control": "#868c94",
    "bar": "#cfe3f1",
    "accent": "#005a8f",
    "training": "#0072b2",
    "training-text": "#00629b",
    "validation": "#d55e00",
    "validation-text": "#b14e00",
    "compiling": "#9fcbe8",
    "waiting": "#5e2450",
    "callbacks": "#e8c95a",
    "idle": "#868c94",
    "heat-rgb": "213 94 0",
    "heat-most": ".62",
    "heat-least": ".25",
    "mean-ground": "#808488",
}
"""The page by day and in print, the charts and the summary picture; the names are those of its CSS variables.

`training` and `validation` are the blue and the vermilion of Okabe and Ito, which people with any of the common colour
vision deficiencies can tell apart. The six kinds of training time, `compiling` to `idle` with these two, differ by
ΔE*ab 25 or more by day and 14 at night, also in the three dichromacies. `heat-rgb` is the colour of an error in the
confusion matrix, `heat-most` its maximum opacity, and `heat-least` its minimum opacity in a drawn matrix, whose lines
are thin. `mean-ground` is the background of a mean heatmap and of the legend.
"""
DARK = {
    "paper": "#15171a",
    "ink": "#e4e6e9",
    "quiet": "#a0a7b0",
    "line": "#353a40",
    "wash": "#25292e",
    "control": "#7b828b",
    "bar": "#1d4460",
    "accent": "#7cc4f2",
    "training": "#56b4e9",
    "training-text": "#7cc4f2",
    "validation": "#f08b43",
    "validation-text": "#f5a368",
    "compiling": "#174a6c",
    "waiting": "#a85c92",
    "callbacks": "#f0d060",
    "idle": "#d5d9de",
    "heat-rgb": "240 125 50",
    "heat-most": ".5",
    "heat-least": ".45",
    "mean-ground": LIGHT["mean-ground"],
}
"""The page at night."""

TURBO_STOPS = (
    "#30123b",
    "#3c3286",
    "#4454c3",
    "#4771e9",
    "#448ffe",
    "#35abf8",
    "#20c7df",
    "#18ddc2",
    "#27eea4",
    "#4af880",
    "#79fe59",
    "#9ffd3f",
    "#bef434",
    "#d9e436",
    "#efcd3a",
    "#fbb637",
    "#fe962b",
    "#f9751d",
    "#ec530f",
    "#dc3b07",
    "#c32503",
)
"""The colours of `turbo` at 0, 0.05, ... and 1. OpenCV, which computes them, takes long to import."""

OPACITY = 0.65
"""Opacity of a heatmap at its peak."""
GROWTH = 0.75
"""The opacity grows with this power of the heat: the image stays visible under low values."""
_BRIGHT = 0.9
"""Share of TURBO that is used. Its last tenth turns dark again, which looks like a lower value."""
_NEGATIVE, _POSITIVE = np.array([0, 80, 255]), np.array([255, 50, 0])
"""Blue and vermilion stay apart in each of the three dichromacies (ΔE*ab ≥ 125, where red and green fall to 7)."""
_SATURATION = 0.25
"""The colours of a difference turn from white to their hue with this power of the distance from 0."""


def opacity(heat: np.ndarray, peak: float = OPACITY) -> np.ndarray:
    """Returns the opacity of a heatmap.

    Args:
        heat: Array of any shape, values from -1 to 1; of signed values the distance from 0 counts.
        peak: Opacity at 1.

    Returns:
        Array of the same shape, values from 0 to `peak`.
    """
    return np.asarray(peak * np.abs(heat) ** GROWTH)


def turbo(heat: np.ndarray) -> np.ndarray:
    """Returns the colours of a heatmap.

    Example:
        >>> turbo(np.array([0.0, 1.0])).tolist()
        [[48, 18, 59], [195, 37, 3]]

    Args:
        heat: Array of shape `(n,)`, values from 0 to 1.

    Returns:
        `uint8` array of shape `(n, 3)`: red, green and blue.
    """
    places = np.rint(_BRIGHT * 255 * heat[:, None]).astype(np.uint8)
    return np.asarray(opencv.applyColorMap(places, opencv.COLORMAP_TURBO)[:, 0, ::-1])


def difference(heat: np.ndarray) -> np.ndarray:
    """Returns the colours of the difference of two heatmaps: blue below 0, white at 0, vermilion above.

    Example:
        >>> difference(np.array([-1.0, 0.0, 1.0])).tolist()
        [[0.0, 80.0, 255.0], [255.0, 255.0, 255.0], [255.0, 50.0, 0.0]]

    Args:
        heat: Array of shape `(n,)`, values from -1 to 1.

    Returns:
        Float array of shape `(n, 3)`: red, green and blue, 0 to 255.
    """
    hues = np.where(heat[:, None] < 0, _NEGATIVE, _POSITIVE)
    # The root gives full colour to small differences too, which are hardly opaque.
    return np.asarray(255 + np.abs(heat[:, None]) ** _SATURATION * (hues - 255))
