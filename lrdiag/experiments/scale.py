"""How the inputs of a model correspond to the pictures that the page shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrdiag import opencv

AGREE = 0.98
"""Least correlation of an input channel with the channel of the pictures that it comes from."""
FEW = 100
"""Images that the scale is measured on."""


@dataclass(frozen=True)
class Scale:
    """Each channel of the inputs is a channel of the pictures in another scale and size: `picture * slope + offset`.

    Attributes:
        channels: For each input channel, the channel of the pictures.
        slope: `float32` of shape `(input channels,)`.
        offset: The same.
        picture_size: Height and width of the pictures.
        input_size: Height and width of the inputs.
    """

    channels: tuple[int, ...]
    slope: np.ndarray
    offset: np.ndarray
    picture_size: tuple[int, int]
    input_size: tuple[int, int]

    def pattern(self, difference: np.ndarray) -> np.ndarray:
        """Returns a difference of pictures, of shape `(height, width, channels)`, as a difference of inputs."""
        return np.asarray(_resized(difference[..., list(self.channels)], self.input_size) * self.slope)

    def values(self, colours: np.ndarray) -> np.ndarray:
        """Returns colours of pictures, of shape `(…, channels)`, as values of inputs."""
        return np.asarray(colours[..., list(self.channels)] * self.slope + self.offset)

    def pictures(self, inputs: np.ndarray) -> np.ndarray:
        """Returns pictures of inputs: `uint8` of shape `(n, height, width, 1 or 3)`."""
        values = (inputs.astype(np.float32) - self.offset) / self.slope
        order = [self.channels.index(channel) for channel in range(max(self.channels) + 1)]
        shown = np.stack([_resized(each[..., order], self.picture_size) for each in values])
        return np.asarray(np.clip(shown.round(), 0, 255).astype(np.uint8))


def scale_of(pictures: np.ndarray, inputs: np.ndarray) -> Scale | None:
    """Measures the scale, or returns `None` if the inputs are not pictures in another scale.

    Args:
        pictures: `uint8` of shape `(n, height, width, 1 or 3)`.
        inputs: The inputs of the same images, of shape `(n, height, width, channels)`.
    """
    smaller = min(pictures.shape[1:3], inputs.shape[1:3])
    given, taken = (_values(images[:FEW], smaller) for images in (pictures, inputs))
    spread = given - given.mean(axis=0), taken - taken.mean(axis=0)
    deviations = spread[0].std(axis=0), spread[1].std(axis=0)
    if min(deviations[0].min(), deviations[1].min()) == 0:
        return None
    covariance = spread[1].T @ spread[0] / len(taken)
    correlation = covariance / np.outer(deviations[1], deviations[0])
    channels = correlation.argmax(axis=1)
    each = np.arange(len(channels))
    if correlation[each, channels].min() < AGREE or set(channels) != set(range(pictures.shape[-1])):
        return None
    slope = covariance[each, channels] / deviations[0][channels] ** 2
    offset = taken.mean(axis=0) - slope * given.mean(axis=0)[channels]
    return Scale(
        tuple(channels.tolist()),
        slope.astype(np.float32),
        offset.astype(np.float32),
        pictures.shape[1:3],
        inputs.shape[1:3],
    )


def _values(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The values of each channel in another size: `float64` of shape `(values, channels)`."""
    shrunk = [_resized(each.astype(np.float32), size) for each in images]
    return np.stack(shrunk).reshape(-1, images.shape[-1]).astype(np.float64)


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture of shape `(height, width, channels)` in another size."""
    if picture.shape[:2] == size:
        return picture
    way = opencv.INTER_AREA if picture.shape[0] > size[0] else opencv.INTER_LINEAR
    return np.asarray(opencv.resize(picture, size[::-1], interpolation=way)).reshape(*size, picture.shape[-1])
