"""Where the pictures of the page are laid out: sheets of many small pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrdiag import opencv


@dataclass(frozen=True)
class Sheet:
    """Many small pictures of one size in one image file, row by row.

    Attributes:
        file: The image file, beside report.json.
        count: How many pictures it holds.
        columns: How many stand in a row.
        width: Width of one picture in pixels, without padding.
        height: Height of one picture in pixels, without padding.
        padding: Pixels around each picture that repeat its edge, so that smooth scaling never shows a neighbour.
    """

    file: str
    count: int
    columns: int
    width: int
    height: int
    padding: int


@dataclass(frozen=True)
class HeatmapSheets:
    """The maps of the page. Those of one mistake share one scale: one is the highest peak of the first two.

    Attributes:
        predicted: For each mistake, in the order of `Misclassified.items`, what speaks for the predicted class.
        true: What speaks for the true class, same order.
        difference: What speaks for the predicted class rather than for the true one, or the other way round.
        means: The mean map of each class over its recognised images, then those over its misclassified ones; last, the
            mean of the former over all classes, and that of the latter. `None` where only the mistakes were explained.
    """

    predicted: Sheet
    true: Sheet
    difference: Sheet
    means: Sheet | None


@dataclass(frozen=True)
class Sheets:
    """The pictures of the page.

    Attributes:
        photographs: The misclassified images, in the order of `Misclassified.items`; `None` where there are none.
        heatmaps: Their maps; `None` where there are none.
        samples: A few training images of each class, `samples_per_class` of class 0, then of class 1, and so on;
            `None` where they are not known.
        samples_per_class: How many of each class.
        shown: Which of `Misclassified.items` the photographs and maps show, as places in it, ascending; `None`: all.
    """

    photographs: Sheet | None
    heatmaps: HeatmapSheets | None
    samples: Sheet | None
    samples_per_class: int
    shown: list[int] | None = None


LARGEST_SIDE = 94
"""Pixels that a photograph is scaled down to; with its padding, whole blocks of WebP."""


def shrunk(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width of a photograph whose longer side may take `side` pixels; never larger than it is."""
    factor = min(1.0, side / max(height, width))
    return max(1, round(factor * height)), max(1, round(factor * width))


def scaled_down(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The image in that size, each pixel the mean of those that it stands for."""
    if image.shape[:2] == (height, width):
        return image

    scaled = np.asarray(opencv.resize(image, (width, height), interpolation=opencv.INTER_AREA))
    return scaled.reshape(height, width, -1)  # OpenCV drops a single channel
