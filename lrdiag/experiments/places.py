"""Names places in images."""

from __future__ import annotations

import numpy as np

from lrdiag.images.marks import Trait

WHOLE = 0.6
"""Reach of a place in both directions, relative to the image, from which on it is the whole image."""
CONCENTRATED = 0.8
"""Share of a pattern that its place contains."""
MARGIN = 0.2
"""Distance from the edge, relative to the size of the image, within which a place is at the border."""
_ROWS, _COLUMNS = ("upper", "", "lower"), ("left", "", "right")
_WHAT: dict[Trait, str] = {
    "value": "a mark",
    "rare value": "a mark",
    "colour": "a colour",
    "texture": "a texture",
}


def place_of(mask: np.ndarray, trait: Trait) -> str:
    """Names what is similar in the images of a class, and where.

    Example:
        >>> mask = np.zeros((9, 9), bool)
        >>> mask[7:, 7:] = True
        >>> place_of(mask, "value")
        'a mark at the lower right'

    Args:
        mask: `bool` of shape `(height, width)`: the places.
        trait: What is similar.
    """
    return f"{_WHAT[trait]} {_where(mask)}"


def place_of_pattern(pattern: np.ndarray) -> str:
    """Names a faint pattern of shape `(height, width, channels)`, and where it is."""
    strength = (pattern**2).sum(axis=-1)
    order = np.argsort(-strength, axis=None)
    count = int(np.searchsorted(np.cumsum(strength.ravel()[order]), CONCENTRATED * strength.sum())) + 1
    mask = np.zeros(strength.size, bool)
    mask[order[:count]] = True
    return f"a pattern {_where(mask.reshape(strength.shape))}"


def _where(mask: np.ndarray) -> str:
    if _surrounds(mask):
        return "at the border"
    rows, columns = np.nonzero(mask)
    reach = [
        np.subtract(*np.quantile(each, (0.9, 0.1))) / size
        for each, size in zip((rows, columns), mask.shape, strict=True)
    ]
    if min(reach) > WHOLE:
        return "over the whole image"
    row = _ROWS[int(3 * (np.median(rows) + 0.5) / mask.shape[0])]
    column = _COLUMNS[int(3 * (np.median(columns) + 0.5) / mask.shape[1])]
    if not row and not column:
        return "in the middle"
    if not column:
        return "at the top" if row == "upper" else "at the bottom"
    return f"at the {row} {column}" if row else f"at the {column}"


def _surrounds(mask: np.ndarray) -> bool:
    """Whether most of the places are at the edges, on all four sides."""
    height, width = mask.shape
    far, wide = max(1, int(MARGIN * height)), max(1, int(MARGIN * width))
    inner = mask[far : height - far, wide : width - wide].sum()
    sides = mask[:far].any(), mask[-far:].any(), mask[:, :wide].any(), mask[:, -wide:].any()
    corners = mask[:far, :wide].any(), mask[-far:, -wide:].any(), mask[:far, -wide:].any(), mask[-far:, :wide].any()
    return bool(inner < (1 - CONCENTRATED) * mask.sum() and all(sides) and all(corners))
