"""Compares pictures pixel by pixel: equal ones, and ones that were mirrored or moved by whole pixels."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lrdiag.images.picture_sets import PictureSets, parts
from lrdiag.images.sketches import edges

_EQUAL = 0.9
"""Share of the edge pixels that must be equal where both pictures show the same."""
_FEWEST_VALUES = 8
"""Number of different values that equal pixels must have. Simple drawings have fewer, and are equal by chance."""
_LEAST_SHARED = 0.6
"""Share of the picture that both must show."""


def fingerprints(pictures: np.ndarray) -> np.ndarray:
    """A number for the bytes of each picture: `uint64` of shape `(n,)`. Equal pictures have equal numbers."""
    flat = pictures.reshape(len(pictures), -1)
    words = np.ascontiguousarray(np.pad(flat, ((0, 0), (0, -flat.shape[1] % 8)))).view(np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, words.shape[1], np.uint64)
    return np.asarray(((words ^ (words >> np.uint64(31))) * (factors | np.uint64(1))).sum(axis=1, dtype=np.uint64))


def runs(numbers: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns pairs of rows with equal numbers: each row with the next one that has the same."""
    order = rows[np.argsort(numbers[rows], kind="stable")]
    same = np.flatnonzero(numbers[order[1:]] == numbers[order[:-1]])
    return order[same], order[same + 1]


def are_equal(pictures: PictureSets, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns whether the pictures of each pair are equal: `bool` of shape `(pairs,)`."""
    equal = np.zeros(len(first), bool)
    for rows in parts(len(first)):
        equal[rows] = (pictures[first[rows]] == pictures[second[rows]]).all(axis=(1, 2, 3))
    return equal


def moved_kind(
    one: np.ndarray, other: np.ndarray, place: np.ndarray, other_place: np.ndarray
) -> Literal["near", "mirrored", "shifted"] | None:
    """Returns how a picture was changed into another one, pixel by pixel.

    Args:
        one: `uint8` of shape `(height, width, channels)`.
        other: The same.
        place: Row and column of a place in the first picture.
        other_place: The place in the second one that shows the same.

    Returns:
        `"near"` if other pixels were changed and nothing was moved; `None` if the pictures do not show the same.
    """
    for picture, column in ((one, place[1]), (one[:, ::-1], one.shape[1] - 1 - place[1])):
        down, right = int(other_place[0] - place[0]), int(other_place[1] - column)
        if _equal_if_moved(picture, other, down, right):
            return "mirrored" if picture is not one else "shifted" if down or right else "near"
    return None


def _equal_if_moved(one: np.ndarray, other: np.ndarray, down: int, right: int) -> bool:
    height, width = one.shape[:2]
    if (height - abs(down)) * (width - abs(right)) < _LEAST_SHARED * height * width:
        return False
    ours = one[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    theirs = other[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
    equal, telling = (ours == theirs).all(axis=2), edges(theirs[None])[0]
    has_values = len(np.unique(theirs.mean(axis=2)[equal])) >= _FEWEST_VALUES
    return has_values and bool(equal[2:-2, 2:-2][telling].sum() >= _EQUAL * max(1, telling.sum()))
