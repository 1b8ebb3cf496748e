"""The colours of a heatmap, the same on the page and in pictures."""

from __future__ import annotations

import numpy as np

from lrdiag import opencv

GROWTH = 0.75
"""The power of the heat with which a map grows opaque: where it is cold, the photograph stays visible."""
_BRIGHT = 0.9
"""How much of TURBO is used: its last tenth turns dark again, which reads as less."""


def turbo(heat: np.ndarray) -> np.ndarray:
    """The colour of each heat.

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
