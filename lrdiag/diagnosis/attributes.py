"""What images look like, as one number for each image, and the words for its low and high values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lrdiag.record.image_table import ImageTable

_SIDE = 32
"""Most pixels in a row and in a column that the background is measured on."""
_SAME = 8
"""How far a value may be from that of the background."""
_MOST_NAMED = 3
"""Most attributes that describe a group."""
_CLEAR = 0.8
"""Difference from all images, in standard deviations, from which on an attribute describes a group."""
_FLAT = 1e-6
_BLACK = 8.0
"""Added to the mean value of a picture, so that the colour of a black picture is not noise."""


@dataclass(frozen=True)
class Attribute:
    """A property of images.

    Attributes:
        name: Its name: `"brightness"`.
        low: What images with a low value are called; `{}` is the limit.
        high: The same for a high value.
        values: `float32` of shape `(n,)`.
    """

    name: str
    low: str
    high: str
    values: np.ndarray


def attributes_of(images: ImageTable) -> list[Attribute]:
    """Returns the attributes of images; those of colours only for RGB images."""
    measured = images.statistics
    found = [
        Attribute(
            "brightness", "dark images (brightness below {})", "bright images (brightness {} or more)",
            measured.brightness,
        ),
        Attribute(
            "darkest value", "images with black pixels (darkest value below {})",
            "images without dark pixels (darkest value {} or more)", measured.low,
        ),
        Attribute(
            "brightest value", "images without bright pixels (brightest value below {})",
            "images with white pixels (brightest value {} or more)", measured.high,
        ),
        Attribute(
            "contrast", "images of low contrast (standard deviation below {})",
            "images of high contrast (standard deviation {} or more)", measured.contrast,
        ),
        Attribute(
            "sharpness", "images with little detail (Laplacian below {})",
            "images with much detail or noise (Laplacian {} or more)", measured.sharpness,
        ),
        Attribute(
            "relative sharpness", "blurred images (Laplacian below {} of the contrast)",
            "noisy or cluttered images (Laplacian {} of the contrast or more)",
            measured.sharpness / (measured.contrast + 4),
        ),
        Attribute(
            "share of plain background", "images without a plain background (less than {} of one colour)",
            "images with a plain background ({} or more of one colour)", plain_share(images.pictures),
        ),
    ]  # fmt: skip
    return found + (_colours(images) if measured.channels.shape[1] == 3 else [])


def _colours(images: ImageTable) -> list[Attribute]:
    red, green, blue = images.statistics.channels.T
    scale = images.statistics.brightness + _BLACK
    return [
        Attribute(
            "saturation", "grey images (saturation below {})", "colourful images (saturation {} or more)",
            images.statistics.saturation / scale,
        ),
        Attribute(
            "warmth", "bluish images (red minus blue below {} of the brightness)",
            "reddish images (red minus blue {} of the brightness or more)", (red - blue) / scale,
        ),
        Attribute(
            "greenness", "purplish images (green minus red and blue below {} of the brightness)",
            "greenish images (green minus red and blue {} of the brightness or more)",
            (green - (red + blue) / 2) / scale,
        ),
    ]  # fmt: skip


def described(rows: np.ndarray, attributes: Sequence[Attribute]) -> str:
    """Returns in which attributes images differ most from all, in words: `"low contrast, low brightness"`.

    Args:
        rows: `bool` of shape `(n,)`: which images.
        attributes: The attributes of all images.
    """
    differences = [
        (each.name, float((each.values[rows].mean() - each.values.mean()) / (each.values.std() + _FLAT)))
        for each in attributes
    ]
    largest = sorted(differences, key=lambda each: -abs(each[1]))
    clear = [largest[0], *(each for each in largest[1:_MOST_NAMED] if abs(each[1]) > _CLEAR)]
    return ", ".join(f"{'high' if difference > 0 else 'low'} {name}" for name, difference in clear)


def plain_share(pictures: np.ndarray) -> np.ndarray:
    """Returns the share of each picture that has the colour of its edge: high for a small object on a plain ground.

    Args:
        pictures: `uint8` of shape `(n, height, width, channels)`.

    Returns:
        `float32` of shape `(n,)`.
    """
    rows, columns = (max(1, side // _SIDE) for side in pictures.shape[1:3])
    small = pictures[:, ::rows, ::columns]
    edge = np.concatenate([small[:, 0], small[:, -1], small[:, :, 0], small[:, :, -1]], axis=1)
    middle = edge.shape[1] // 2
    ground = np.partition(edge, middle, axis=1)[:, middle, np.newaxis, np.newaxis]
    distance = np.maximum(small, ground) - np.minimum(small, ground)
    return np.asarray((distance <= _SAME).all(axis=-1).mean(axis=(1, 2), dtype=np.float32))
