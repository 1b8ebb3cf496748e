"""Brings images of any size to one size and to the channels that the model takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lrdiag import opencv
from lrdiag.formats import count
from lrdiag.record.arrays import LabelledImages
from lrdiag.vocabulary import ResizeName

DEFAULT_SIZE = (32, 32)
"""Size of training images from files if none is requested."""


@dataclass(frozen=True)
class Fitting:
    """The size and the channels that images are brought to.

    Pixels are interpolated linearly without averaging, as `image_dataset_from_directory` does by default, so that a
    model which was trained with Keras's loader gets the same pixels, but rounded to integers.

    Example:
        >>> Fitting((20, 48))(np.zeros((50, 90), np.uint8)).shape
        (20, 48, 3)

    Attributes:
        size: Height and width, in pixels. `None` keeps the images' own size, which they must share.
        channels: 3, or 1 for grey images.
        resize: `"stretch"` changes the proportions of images. `"crop"` cuts out their centre, as
            `crop_to_aspect_ratio=True` does. `"pad"` adds black borders, as `pad_to_aspect_ratio=True` does.
        file_size: The size of images from files if `size` is `None`. They often differ in size; arrays don't.
    """

    size: tuple[int, int] | None = None
    channels: int = 3
    resize: ResizeName = "stretch"
    file_size: tuple[int, int] | None = None

    @property
    def of_files(self) -> Fitting:
        """The same for images from files."""
        return replace(self, size=self.size or self.file_size)

    def __call__(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Fits one image.

        Args:
            image: `uint8` of shape `(height, width)` or `(height, width, channels)`, with 1 (grey), 3 (red, green,
                blue) or 4 channels (the fourth is opacity, which is dropped).

        Returns:
            `uint8` of shape `(*size, channels)`.
        """
        size = self.size or (image.shape[0], image.shape[1])
        if image.shape == (*size, self.channels):
            return image
        sized = image if image.shape[:2] == size else _RESIZE[self.resize](image, size)
        return _convert(sized, self.channels).reshape(*size, self.channels)

    def notes(self, sizes: Sizes) -> list[str]:
        """Returns a sentence on what was done to images of other sizes, if there were any."""
        if self.size is None or not sizes.others:
            return []
        height, width = self.size
        done = _DONE[self.resize] if sizes.distorted else "scaled to {} pixels."
        which = f"Images of other sizes ({count(sizes.others)} of {count(sizes.total)}) were"
        return [f"{which} {done.format(f'{width} × {height}')}"]


AS_IS = Fitting()
"""Colour images of their own size, which they share."""


@dataclass
class Sizes:
    """Counts the images that a size does not fit.

    Attributes:
        total: Number of images.
        others: Number of images of another size.
        distorted: Number of images of other proportions.
    """

    total: int = 0
    others: int = 0
    distorted: int = 0

    def add(self, shape: tuple[int, ...], size: tuple[int, int] | None, number: int = 1) -> None:
        """Counts images of this shape."""
        self.total += number
        if size is None or shape[:2] == size:
            return
        height, width = size
        self.others += number
        self.distorted += number * (shape[0] * width != shape[1] * height)


def fit_all(images: LabelledImages, fitting: Fitting) -> LabelledImages:
    """Fits every image. Without a size, the size stays as it is.

    Example:
        >>> images = LabelledImages(np.zeros((5, 28, 28, 1), np.uint8), np.arange(5))
        >>> fit_all(images, Fitting((14, 14))).images.shape
        (5, 14, 14, 3)
    """
    height, width = fitting.size or images.images.shape[1:3]
    if images.images.shape[1:] == (height, width, fitting.channels) or not len(images):
        return images
    fitted = np.empty((len(images), height, width, fitting.channels), np.uint8)
    for index, image in enumerate(images.images):
        fitted[index] = fitting(image)
    return LabelledImages(fitted, images.labels, images.files)


def notes_on(parts: Iterable[LabelledImages], fitting: Fitting) -> list[str]:
    """Returns the sentence on arrays of images before they are fitted, if there is one."""
    sizes = Sizes()
    for part in parts:
        sizes.add(part.images.shape[1:], fitting.size, len(part))
    return fitting.notes(sizes)


def _stretch(image: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    height, width = size
    return np.asarray(opencv.resize(image, (width, height), interpolation=opencv.INTER_LINEAR))


def _crop(image: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Cuts out the largest centred part with the proportions of `size`, as `keras.preprocessing.image.smart_resize`."""
    (height, width), (wanted_height, wanted_width) = image.shape[:2], size
    rows = max(1, min(height, width * wanted_height // wanted_width))
    columns = max(1, min(width, height * wanted_width // wanted_height))
    top, left = (height - rows) // 2, (width - columns) // 2
    return _stretch(image[top : top + rows, left : left + columns], size)


def _pad(image: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Scales the whole image into `size`, as `tf.image.resize_with_pad`."""
    (height, width), (wanted_height, wanted_width) = image.shape[:2], size
    ratio = max(width / wanted_width, height / wanted_height)
    scaled = height / ratio, width / ratio
    rows, columns = (max(1, int(side)) for side in scaled)
    top, left = (int((wanted - side) / 2) for wanted, side in zip(size, scaled, strict=True))
    padded = np.zeros((*size, *image.shape[2:]), np.uint8)
    inner = padded[top : top + rows, left : left + columns]
    inner[:] = _stretch(image, (rows, columns)).reshape(inner.shape)
    return padded


_RESIZE = {"stretch": _stretch, "crop": _crop, "pad": _pad}
_DONE = {
    "stretch": "stretched to {} pixels, as Keras's loaders do by default. `resize` can be crop or pad instead.",
    "crop": "cropped to the proportions of {} pixels, and scaled.",
    "pad": "scaled into {} pixels, with black borders.",
}


def _convert(image: npt.NDArray[Any], channels: int) -> npt.NDArray[Any]:
    stored = image.shape[2] if image.ndim == 3 else 1
    conversions = {
        (1, 3): opencv.COLOR_GRAY2RGB,
        (3, 1): opencv.COLOR_RGB2GRAY,
        (4, 1): opencv.COLOR_RGBA2GRAY,
        (4, 3): opencv.COLOR_RGBA2RGB,
    }
    return image if stored == channels else np.asarray(opencv.cvtColor(image, conversions[stored, channels]))
