"""The pictures of the exhibits of all findings, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lrdiag import opencv
from lrdiag.record.pictures import FILES, Pictures, Sheet, shrunk
from lrdiag.report.pictures.sheets import ATTEMPTS, SHARP_SIDE, image_sheet

MOST_BYTES = 640 * 1024
"""Maximum size of the file. The page holds it in base64, which takes a third more."""


class ExhibitPictures:
    """Collects the pictures of exhibits and lays them out."""

    def __init__(self) -> None:
        self._pictures: list[np.ndarray] = []

    def keep(self, pictures: Sequence[np.ndarray]) -> list[int]:
        """Keeps the pictures of an exhibit.

        Args:
            pictures: `uint8` arrays of shape `(height, width, 1 or 3)`.

        Returns:
            Their cells in the sheet `findings`.
        """
        first = len(self._pictures)
        self._pictures += pictures
        return list(range(first, len(self._pictures)))

    def lay_out(self) -> Pictures:
        """Lays the pictures out on the sheet `findings`. Without pictures, there is no sheet."""
        laid_out = Pictures()
        if self._pictures:
            laid_out.add("findings", _best_sheet(self._pictures))
        return laid_out


def _best_sheet(pictures: Sequence[np.ndarray]) -> tuple[Sheet, bytes]:
    """The best sheet whose file is small enough. The last attempt is kept in any case."""
    for side, quality in ATTEMPTS:
        sheet, content = image_sheet(in_one_size(pictures, side), FILES["findings"], side, quality)
        if len(content) <= MOST_BYTES:
            break
    return sheet, content


def in_one_size(pictures: Sequence[np.ndarray], side: int) -> list[np.ndarray]:
    """Scales pictures to the size of the largest one, which has `side` pixels at most.

    Pictures of other proportions are centred on a transparent ground. Small pictures are only enlarged by whole
    numbers, so that their pixels stay as they are.

    Args:
        pictures: `uint8` arrays of shape `(height, width, 1 or 3)`.
        side: Pixels of the longer side at most.

    Returns:
        `uint8` arrays of one shape `(height, width, channels)`, RGB, or RGBA if the ground is visible.
    """
    sizes = [shrunk(picture.shape[0], picture.shape[1], side) for picture in pictures]
    height, width = max(each[0] for each in sizes), max(each[1] for each in sizes)
    scaled = [_scaled(picture, height, width) for picture in pictures]
    if all(picture.shape[:2] == (height, width) for picture in scaled):
        return scaled
    return [_centred(picture, height, width) for picture in scaled]


def _scaled(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    factor = min(height / picture.shape[0], width / picture.shape[1])
    if factor > 1 and max(picture.shape[:2]) <= SHARP_SIDE:
        factor = int(factor)
    size = min(height, max(1, round(factor * picture.shape[0]))), min(width, max(1, round(factor * picture.shape[1])))
    if size != picture.shape[:2]:
        # Enlarged by a whole number, each pixel becomes a square.
        picture = np.asarray(opencv.resize(picture, size[::-1], interpolation=opencv.INTER_AREA))
    return np.broadcast_to(picture.reshape(*size, -1), (*size, 3))


def _centred(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    cell = np.zeros((height, width, 4), np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    cell[top : top + picture.shape[0], left : left + picture.shape[1]] = np.dstack(
        [picture, np.full(picture.shape[:2], 255, np.uint8)]
    )
    return cell
