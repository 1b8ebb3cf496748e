"""Keeps parts of each evaluated batch: images of the mistakes, a sample of inputs, the fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from keras import tree

from lrdiag.data.preprocessing import read_off, undo
from lrdiag.errors import DataError
from lrdiag.explain.engine import Explained
from lrdiag.record.fingerprint import Fingerprint
from lrdiag.record.pictures import LARGEST_SIDE, scaled_down, shrunk
from lrdiag.vocabulary import Preprocessing

TRUST_SAMPLE = 200  # misclassified images whose maps are measured
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


class Keeper:
    """Checks each batch before the model sees it, and keeps what the page shows.

    Args:
        display: The images to show if the model does not take images.
        preprocess: The preprocessing to undo; by default it is inferred from the values of the first batch.
        seed: Random seed of the sample.
        fingerprint: The fingerprint of images and labels if it is known already.
    """

    def __init__(
        self, display: Display | None, preprocess: Preprocessing | None, seed: int, fingerprint: str | None = None
    ) -> None:
        self._display, self._preprocess = display, preprocess
        self._seen = 0
        self._kept: list[np.ndarray] = []
        self._random = np.random.default_rng(seed)
        self._known_fingerprint, self._fingerprint = fingerprint, Fingerprint()
        self.sample = Sample()
        self.image_shape = (0, 0, 0)
        self.value_range = (np.inf, -np.inf)

    def look(self, inputs: Any, count: int) -> Shown:
        """Checks a batch of `count` images and returns it with the images to show.

        Raises:
            DataError: If values are not finite, images differ in size, or `display` does not fit.
        """
        inputs = tree.map_structure(np.asarray, inputs)
        self._check_values(_image_input(inputs), count)
        images = self._images(inputs, count)
        if self._seen and images.shape[1:] != self.image_shape:
            raise DataError(
                "All images must have one size. Resize them, or diagnose each size separately. "
                f"Received: images of shape {self.image_shape} and {images.shape[1:]}"
            )
        self.image_shape = images.shape[1:]
        if self._known_fingerprint is None:
            self._fingerprint.update(images)
        shown = Shown(self._seen, inputs, images)
        self._seen += count
        return shown

    def look_ahead(self, batches: Iterable[tuple[Any, np.ndarray]]) -> None:
        """Checks the values of all further batches, and that `display` has an image for each input.

        Raises:
            DataError: If values are not finite, or `display` has another number of images.
        """
        for inputs, labels in batches:
            self._check_values(_image_input(inputs), len(labels))
            self._seen += len(labels)
        self.refuse_images_left_over()

    def keep(self, shown: Shown, batch: Explained) -> None:
        """Keeps the misclassified images of a batch."""
        height, width = shrunk(*self.image_shape[:2], LARGEST_SIDE)
        self._kept.append(_scaled(shown.images[batch.wrong], height, width))
        if isinstance(shown.inputs, np.ndarray) and shown.inputs.ndim in (3, 4):
            draws = self._random.random(len(batch.wrong))
            self.sample.add(draws, shown.first + batch.wrong, shown.inputs[batch.wrong])

    def mistakes(self) -> np.ndarray:
        """The misclassified images, `uint8` of shape `(m, height, width, channels)`."""
        return np.concatenate(self._kept)

    def fingerprint(self, labels: np.ndarray) -> str:
        """The fingerprint of all images and their labels, integers of shape `(n,)`."""
        return self._known_fingerprint or self._fingerprint.of(labels)

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
            return self._undone(_image_input(inputs))
        if callable(self._display):
            images = np.asarray(self._display(inputs))
        else:
            images = np.asarray(self._display[self._seen : self._seen + count])
        images = images[..., np.newaxis] if images.ndim == 3 else images
        if images.dtype != np.uint8 or len(images) != count or not _is_shown(images):
            raise DataError(
                "`display` must give one image for each input, uint8 of shape (n, height, width, 1 or 3). "
                f"Received: {images.dtype} of shape {images.shape} for images {self._seen} to "
                f"{self._seen + count - 1}"
            )
        return images

    def _undone(self, images: np.ndarray) -> np.ndarray:
        images = images[..., np.newaxis] if images.ndim == 3 else images
        if not _is_shown(images):
            raise DataError(
                "Images can be shown if they are grey or RGB, of shape (n, height, width, 1 or 3). Pass the images to "
                f"show with `display=`. Received: shape {images.shape}"
            )
        if self._preprocess is None:
            self._preprocess = read_off(images)
        return undo(images, self._preprocess)


class Sample:
    """A random sample of a stream: the images with the lowest random numbers so far."""

    def __init__(self) -> None:
        self._draws = np.empty(0)
        self.indices = np.empty(0, np.int64)
        self.images: np.ndarray | None = None

    def add(self, draws: np.ndarray, indices: np.ndarray, images: np.ndarray) -> None:
        """Adds images with a random number each, and keeps `TRUST_SAMPLE` of all."""
        draws, indices = np.concatenate([self._draws, draws]), np.concatenate([self.indices, indices])
        images = images if self.images is None else np.concatenate([self.images, images])
        chosen = np.sort(np.argsort(draws, kind="stable")[:TRUST_SAMPLE])
        self._draws, self.indices, self.images = draws[chosen], indices[chosen], images[chosen]


def _image_input(inputs: Any) -> np.ndarray:
    """The images among the inputs of a model: the first input that can be shown, else the first input."""
    arrays = [np.asarray(array) for array in tree.flatten(inputs)]
    return next((array for array in arrays if array.ndim == 4 and _is_shown(array)), arrays[0])


def _is_shown(images: np.ndarray) -> bool:
    return images.ndim == 4 and images.shape[3] in (1, 3)


def _scaled(images: np.ndarray, height: int, width: int) -> np.ndarray:
    if images.shape[1:3] == (height, width):
        return images
    scaled = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for image, small in zip(images, scaled, strict=True):
        small[:] = scaled_down(image, height, width)
    return scaled
