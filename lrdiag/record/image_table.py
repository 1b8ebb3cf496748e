"""What an evaluation keeps of the images of a set: one row for each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lrdiag.record.arrays import Predictions

Part = Literal["test", "train"]
"""Test images, or training images."""


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of pictures, measured at their full resolution. Values are 0–255.

    Attributes:
        brightness: `float32` of shape `(n,)`: mean of all values.
        contrast: `float32` of shape `(n,)`: standard deviation of the grey values.
        low: `float32` of shape `(n,)`: the minimum.
        high: `float32` of shape `(n,)`: the maximum.
        saturation: `float32` of shape `(n,)`: difference of the largest and the smallest channel of a pixel, averaged.
            0 for grey pictures.
        sharpness: `float32` of shape `(n,)`: standard deviation of the Laplacian of the grey values.
        fineness: `float32` of shape `(n,)`: the sharpness, relative to that of the picture at half its size. About 0.7
            for photographs at any contrast, 2 for noise, and near 0 for pictures that are blurred or were enlarged.
        repeats: `float32` of shape `(n,)`: share of rows and columns that are equal to the one before, without those of
            one colour. 0.5 if a picture was enlarged by 2 without interpolation.
        margins: `float32` of shape `(n, 4)`: at the top, at the bottom, at the left and at the right, how much of the
            height or width is of one colour, and ends with a straight edge along the whole side.
        sides: `float32` of shape `(n, 4)`: the grey value of the outermost line at each of these sides, or -1 if the
            line is not of one colour.
        channels: `float32` of shape `(n, channels)`: mean of each channel.
        deviations: `float32` of shape `(n, channels)`: standard deviation of each channel.
    """

    brightness: np.ndarray
    contrast: np.ndarray
    low: np.ndarray
    high: np.ndarray
    saturation: np.ndarray
    sharpness: np.ndarray
    fineness: np.ndarray
    repeats: np.ndarray
    margins: np.ndarray
    sides: np.ndarray
    channels: np.ndarray
    deviations: np.ndarray


@dataclass(frozen=True)
class ImageTable:
    """One row for each image of a set, or of a random sample of it.

    Attributes:
        part: Which set it is.
        size: Number of images in the set, as far as it was read.
        indices: `int64` of shape `(n,)`: place of each image in the set, ascending. All of them, unless `n < size`.
        predictions: The predictions for these images, with their labels.
        pictures: `uint8` of shape `(n, height, width, channels)`, grey or RGB: the images as the page shows them,
            scaled down if they are large.
        statistics: Statistics of the pictures before they were scaled down.
        features: `float16` of shape `(n, d)`: what the last layer with weights receives, averaged over places and
            projected to 512 values at most. `None` if the model has no such layer.
        files: The file of each image, or empty.
        inputs: What the model received for some of the images, of shape `(k, …)`; `None` if the model takes several
            inputs.
        input_rows: `int64` of shape `(k,)`, ascending: the rows that `inputs` belong to.
    """

    part: Part
    size: int
    indices: np.ndarray
    predictions: Predictions
    pictures: np.ndarray
    statistics: ImageStatistics
    features: np.ndarray | None
    files: tuple[str, ...]
    inputs: np.ndarray | None
    input_rows: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def is_complete(self) -> bool:
        """Whether there is a row for each image of the set."""
        return len(self) == self.size

    @property
    def labels(self) -> np.ndarray:
        """`int64` of shape `(n,)`: the given classes."""
        return self.predictions.labels

    def row(self, index: int) -> int:
        """The row of an image that is in the table, by its place in the set."""
        return int(np.searchsorted(self.indices, index))

    def file(self, row: int) -> str | None:
        """The file of an image, or `None`."""
        return self.files[row] if self.files else None
