"""Marks that several charts share, drawn with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def thin(x: np.ndarray, y: np.ndarray, limit: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Returns at most `limit` points of a curve, with its highs and lows. Values that are not finite are left out.

    Args:
        x: `float64` array of shape `(n,)`, ascending.
        y: `float64` array of shape `(n,)`.
        limit: Maximum number of points. Each of about `limit // 2` windows gives its lowest and its highest.
    """
    finite = np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) <= limit:
        return x, y
    windows = np.array_split(np.arange(len(x)), limit // 2 - 1)
    kept = {0, len(x) - 1}
    for window in windows:
        kept |= {int(window[y[window].argmin()]), int(window[y[window].argmax()])}
    order = np.array(sorted(kept))
    return x[order], y[order]


def dots(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """Draws faint points, as one path of empty strokes with round ends: a tenth of the bytes of as many markers."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(x):
        return
    vertices = np.repeat(np.column_stack([x, y]), 2, axis=0)
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=Path.code_type), len(x))
    points = PathPatch(Path(vertices, codes), fill=False, edgecolor=colour, alpha=0.35, linewidth=3, capstyle="round")
    points.set_gid(".points")
    axes.add_patch(points)


def limit(axes: Axes, low: float, high: float) -> None:
    """Limits the y axis to a range, with a margin."""
    margin = 0.05 * (high - low) + 1e-9
    axes.set_ylim(low - margin, high + margin)


def above(axes: Axes, x: float, text: str) -> None:
    """Writes a text above the axes at `x`."""
    axes.annotate(
        text, (x, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points", ha="center"
    )
