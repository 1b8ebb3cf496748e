"""The picture sheets of a run: the position of each picture, and the content of each file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lrdiag import opencv
from lrdiag.record.ranges import Count, Index, Positive, Text

SheetName = Literal[
    "mistakes",
    "mistakes-predicted",
    "mistakes-true",
    "mistakes-difference",
    "class-means",
    "samples",
    "fixed",
    "fixed-predicted",
    "evolution",
    "evolution-maps",
    "findings",
]
"""What a sheet shows.

- `mistakes`: the misclassified images, in the order of `Misclassified.items`; then their heatmaps for the predicted
  class, for the true class, and the difference of the two. The heatmaps of one image share one scale.
- `class-means`: the mean heatmap of each class over its correctly classified images, then over its misclassified
  images; last, the means of both over all classes.
- `samples`: training images, the same number of each class: those of class 0, then those of class 1, and so on.
- `fixed`: the images of `Comparison.fixed`, and the earlier run's heatmaps for the class that it predicted.
- `evolution`: the images of `Evolution.images`; then, for each image, its heatmap after each epoch.
- `findings`: the pictures of the exhibits of all findings, which name their cells.
"""
FILES: dict[SheetName, str] = {
    "mistakes": "misclassified.webp",
    "mistakes-predicted": "maps-predicted.png",
    "mistakes-true": "maps-true.png",
    "mistakes-difference": "maps-difference.png",
    "class-means": "maps-mean.png",
    "samples": "samples.webp",
    "fixed": "fixed.webp",
    "fixed-predicted": "fixed-maps.png",
    "evolution": "watched.webp",
    "evolution-maps": "watched-maps.png",
    "findings": "findings.webp",
}
"""The file that each sheet is written to."""
HEATMAPS: tuple[SheetName, ...] = (
    "mistakes-predicted",
    "mistakes-true",
    "mistakes-difference",
    "class-means",
    "fixed-predicted",
    "evolution-maps",
)
"""The sheets that show no pixel of an image."""


@dataclass(frozen=True)
class Sheet:
    """Many small pictures of one size in one image file, row by row.

    Attributes:
        file: Image file, in the folder of report.json.
        count: Number of pictures.
        columns: Pictures in a row.
        width: Width of one picture in pixels, without padding.
        height: Height of one picture in pixels, without padding.
        padding: Pixels around each picture that repeat its edge, so that smooth scaling never shows a neighbour.
        items: Index of the entry that each picture shows, ascending; `None`: picture `n` shows entry `n`.
    """

    file: Text
    count: Positive
    columns: Positive
    width: Positive
    height: Positive
    padding: Count
    items: list[Index] | None = None

    @property
    def shown(self) -> list[int]:
        """Index of the entry that each picture shows."""
        return list(range(self.count)) if self.items is None else self.items

    @property
    def rows(self) -> int:
        """Rows of pictures."""
        return -(-self.count // self.columns)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image file, in pixels."""
        return self.columns * (self.width + 2 * self.padding), self.rows * (self.height + 2 * self.padding)

    def place(self, cell: int) -> tuple[int, int]:
        """Column and row of picture `cell`."""
        row, column = divmod(cell, self.columns)
        return column, row


@dataclass(frozen=True)
class Pictures:
    """The picture sheets of a run.

    Attributes:
        sheets: Positions of the pictures, by what they show: the content of pictures.json.
        files: Content of each image file, by its name.
    """

    sheets: dict[SheetName, Sheet] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: SheetName, laid_out: tuple[Sheet, bytes]) -> Sheet:
        """Adds a sheet and the content of its file, and returns the sheet."""
        self.sheets[name], self.files[laid_out[0].file] = laid_out
        return laid_out[0]

    def only(self, names: Collection[SheetName]) -> Pictures:
        """Returns the sheets of these names that exist, with their files."""
        sheets = {name: sheet for name, sheet in self.sheets.items() if name in names}
        files = {sheet.file for sheet in sheets.values()}
        return Pictures(sheets, {name: content for name, content in self.files.items() if name in files})

    def without(self, *names: SheetName) -> Pictures:
        """Returns the other sheets, with their files."""
        return self.only([name for name in self.sheets if name not in names])

    def __or__(self, other: Pictures) -> Pictures:
        return Pictures(self.sheets | other.sheets, self.files | other.files)


LARGEST_SIDE = 94
"""Pixels of the longer side of an image on a sheet. With its padding, an image fills whole blocks of WebP."""


def shrunk(height: int, width: int, side: int) -> tuple[int, int]:
    """Returns height and width of an image scaled down so that its longer side has at most `side` pixels."""
    factor = min(1.0, side / max(height, width))
    return max(1, round(factor * height)), max(1, round(factor * width))


def scaled_down(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the image at that size. Each pixel is the mean of the pixels that it covers."""
    if image.shape[:2] == (height, width):
        return image
    scaled = np.asarray(opencv.resize(image, (width, height), interpolation=opencv.INTER_AREA))
    return scaled.reshape(height, width, -1)  # OpenCV drops a single channel


def all_scaled_down(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns images, `uint8` of shape `(n, height, width, channels)`, each as `scaled_down` returns it."""
    if images.shape[1:3] == (height, width):
        return images
    scaled = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for image, small in zip(images, scaled, strict=True):
        small[:] = scaled_down(image, height, width)
    return scaled
