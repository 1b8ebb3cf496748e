"""Checks each batch before it is evaluated, and makes the images that the page shows of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import tree

from lrdiag.data.preprocessing import inferred, stretched, undo
from lrdiag.errors import DataError
from lrdiag.explain.pictures import Picture, pictures_of
from lrdiag.record.pictures import all_scaled_down
from lrdiag.vocabulary import Preprocessing

Display = Callable[[Any], Any] | np.ndarray
"""The images to show: an array with one for each input, or a function from a batch of inputs to them."""


class Shown(NamedTuple):
    """One batch and the images that the page shows of it.

    Attributes:
        first: The index of its first image in the test set.
        inputs: The model's inputs, a nest of arrays.
        images: The images to show, `uint8` of shape `(n, height, width, 1 or 3)`.
    """

    first: int
    inputs: Any
    images: np.ndarray


class Lookout:
    """Checks each batch before the model sees it, and makes the images that the page shows.

    Args:
        display: The images to show if the model does not take images.
        preprocess: The preprocessing to undo; by default it is inferred from the values of the first batch. If they do
            not tell, images are shown between the minimum and the maximum of that batch.
        pictures: The pictures to show, one below the other. Defaults to the first of the inputs that can be shown.
        first: Place of the first image in the set.
    """

    def __init__(
        self,
        display: Display | None,
        preprocess: Preprocessing | None,
        pictures: Sequence[Picture] = (),
        first: int = 0,
    ) -> None:
        self._display = display
        self._pictures = pictures
        self._preprocess: dict[Picture, Preprocessing | None] = defaultdict(lambda: preprocess)
        self._shown_ranges: dict[Picture, tuple[float, float]] = {}
        self._first = self._seen = first
        self.image_shape = (0, 0, 0)
        self.value_range = (np.inf, -np.inf)

    def settle(self, inputs: Any) -> None:
        """Decides by a batch how all images are shown, without counting it."""
        inputs = tree.map_structure(np.asarray, inputs)
        self._pictures = self._pictures or [_first_picture(inputs)]
        if self._display is None:
            for picture in self._pictures:
                self._undone(picture, picture.of(inputs))

    def look(self, inputs: Any, count: int) -> Shown:
        """Checks a batch of `count` images and returns it with the images to show.

        Raises:
            DataError: If values are not finite, images differ in size, or `display` does not fit.
        """
        inputs = tree.map_structure(np.asarray, inputs)
        self._pictures = self._pictures or [_first_picture(inputs)]
        for picture in self._pictures:
            self._check_values(picture.of(inputs), count)
        images = self._images(inputs, count)
        shape = (images.shape[1] // self._stacked, *images.shape[2:])
        if self._seen > self._first and shape != self.image_shape:
            raise DataError(
                "All images must have one size. Resize them, or diagnose each size separately. "
                f"Received: images of shape {self.image_shape} and {shape}"
            )
        self.image_shape = shape
        shown = Shown(self._seen, inputs, images)
        self._seen += count
        return shown

    def look_ahead(self, batches: Iterable[tuple[Any, np.ndarray]]) -> None:
        """Checks the values of all further batches, and that `display` has an image for each input.

        Raises:
            DataError: If values are not finite, or `display` has another number of images.
        """
        for inputs, labels in batches:
            for picture in self._pictures:
                self._check_values(np.asarray(picture.of(inputs)), len(labels))
            self._seen += len(labels)
        self.refuse_images_left_over()

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on how the images are shown, if that is not how they are, for each picture of an input."""
        return tuple(
            f"Images are shown between the minimum and maximum of the first batch, {low:.3g} and {high:.3g}, because "
            "their values do not tell how they were scaled. `preprocess=` tells it."
            for low, high in dict.fromkeys(self._shown_ranges.values())
        )

    def refuse_images_left_over(self) -> None:
        """Raises if `display` does not contain as many images as the data.

        Raises:
            DataError: If it does.
        """
        if isinstance(self._display, np.ndarray) and len(self._display) != self._seen:
            raise DataError(
                "`display` must contain one image for each input. "
                f"Received: {len(self._display)} images for {self._seen} inputs"
            )

    def _check_values(self, values: np.ndarray, count: int) -> None:
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise DataError(
                "The values of images must be finite. Check how they are loaded and scaled, or remove those images. "
                f"Received: NaN or infinite values in images {self._seen} to {self._seen + count - 1}"
            )
        self.value_range = min(self.value_range[0], low), max(self.value_range[1], high)

    def _images(self, inputs: Any, count: int) -> np.ndarray:
        if self._display is None:
            return _stacked([self._undone(picture, picture.of(inputs)) for picture in self._pictures])
        if callable(self._display):
            images = np.asarray(self._display(inputs))
        else:
            images = np.asarray(self._display[self._seen : self._seen + count])
        images = images[..., np.newaxis] if images.ndim == 3 else images
        if images.dtype != np.uint8 or len(images) != count or not is_shown(images):
            raise DataError(
                "`display` must give one image for each input, uint8 of shape (n, height, width, 1 or 3). "
                f"Received: {images.dtype} of shape {images.shape} for images {self._seen} to "
                f"{self._seen + count - 1}"
            )
        return images

    @property
    def _stacked(self) -> int:
        """Number of pictures in one image that is shown."""
        return 1 if self._display is not None else len(self._pictures)

    def _undone(self, picture: Picture, images: np.ndarray) -> np.ndarray:
        images = images[..., np.newaxis] if images.ndim == 3 else images
        if not is_shown(images):
            raise DataError(
                "Images can be shown if they are grey or RGB, of shape (n, height, width, 1 or 3). Pass the images to "
                f"show with `display=`. Received: shape {images.shape}"
            )
        if picture in self._shown_ranges:
            return stretched(images, *self._shown_ranges[picture])
        how = self._preprocess[picture] or inferred(images)
        if how is None:
            self._shown_ranges[picture] = float(images.min()), float(images.max())
            return stretched(images, *self._shown_ranges[picture])
        if images.min() < images.max():  # a batch of one value does not tell how the others were scaled
            self._preprocess[picture] = how
        return undo(images, how)


def _first_picture(inputs: Any) -> Picture:
    """The first picture among the inputs that can be shown, else the first."""
    pictures = pictures_of(None, inputs)
    return next((picture for picture in pictures if is_shown(picture.of(inputs))), pictures[0])


def is_shown(images: np.ndarray) -> bool:
    """Whether the page can show images of this shape."""
    return images.ndim == 4 and images.shape[3] in (1, 3)


def _stacked(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures one below the other, at the size of the first; grey ones become RGB beside others."""
    if len(pictures) == 1:
        return pictures[0]
    height, width = pictures[0].shape[1:3]
    channels = max(each.shape[3] for each in pictures)
    of_one_size = (all_scaled_down(each, height, width) for each in pictures)
    return np.concatenate([np.broadcast_to(each, (*each.shape[:3], channels)) for each in of_one_size], axis=1)
