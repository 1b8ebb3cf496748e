"""What the evaluation keeps of each batch: pictures of the mistakes, a sample, the fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from keras import tree

from lrdiag.data.preprocessing import read_off, undo
from lrdiag.errors import DataError
from lrdiag.explain.engine import Explained
from lrdiag.record.fingerprint import Fingerprint
from lrdiag.record.pictures import LARGEST_SIDE, scaled_down, shrunk
from lrdiag.vocabulary import Preprocessing

TRUST_SAMPLE = 200  # mistakes whose maps are tested
Display = Callable[[Any], Any] | np.ndarray
"""The pictures to show: one for each image, or what makes them of a batch of inputs."""


class Keeper:
    """Looks at the batches on their way to the model, and keeps what the page shows of them."""

    def __init__(self, display: Display | None, preprocess: Preprocessing | None, seed: int) -> None:
        self._display, self._preprocess = display, preprocess
        self._seen = 0
        self._kept: list[np.ndarray] = []
        self._lots = np.random.default_rng(seed)
        self.sample = Sample()
        self.fingerprint = Fingerprint()
        self.image_shape = (0, 0, 0)
        self.value_range = (np.inf, -np.inf)

    def over(self, batches: Iterator[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, np.ndarray]]:
        """Passes the batches on."""
        for inputs, labels in batches:
            self.look(inputs, len(labels))
            yield inputs, labels

    def look(self, inputs: Any, count: int) -> None:
        """Takes note of one batch of so many images."""
        self._inputs = inputs = tree.map_structure(np.asarray, inputs)
        values = _image_input(inputs)
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise DataError(
                "The values of images must be finite. Find out where they are spoilt, or leave those images out. "
                f"Received: NaN or infinite values in images {self._seen} to {self._seen + count - 1}"
            )
        self.value_range = min(self.value_range[0], low), max(self.value_range[1], high)
        pictures = self._pictures(inputs, count)
        if self._seen and pictures.shape[1:] != self.image_shape:
            raise DataError(
                "All images must have one size. Resize them, or diagnose one size after the other. "
                f"Received: images of shape {self.image_shape} and {pictures.shape[1:]}"
            )
        self.image_shape = pictures.shape[1:]
        self.fingerprint.update(pictures)
        self._shown = pictures
        self._seen += count

    def _pictures(self, inputs: Any, count: int) -> np.ndarray:
        if self._display is None:
            return self._undone(_image_input(inputs))
        if callable(self._display):
            pictures = np.asarray(self._display(inputs))
        else:
            pictures = np.asarray(self._display[self._seen : self._seen + count])
        pictures = pictures[..., np.newaxis] if pictures.ndim == 3 else pictures
        if pictures.dtype != np.uint8 or len(pictures) != count or not _is_shown(pictures):
            raise DataError(
                "`display` must give one picture for each image, uint8 of shape (n, height, width, 1 or 3). "
                f"Received: {pictures.dtype} of shape {pictures.shape} for images {self._seen} to "
                f"{self._seen + count - 1}"
            )
        return pictures

    def _undone(self, images: np.ndarray) -> np.ndarray:
        images = images[..., np.newaxis] if images.ndim == 3 else images
        if not _is_shown(images):
            raise DataError(
                "To be shown, images must be grey or RGB, of shape (n, height, width, 1 or 3). Give the pictures to "
                f"show with `display=`. Received: shape {images.shape}"
            )
        if self._preprocess is None:
            self._preprocess = read_off(images)
        return undo(images, self._preprocess)

    def keep(self, batch: Explained) -> None:
        """Keeps the pictures of the mistakes of the batch that went by last."""
        height, width = shrunk(*self.image_shape[:2], LARGEST_SIDE)
        self._kept.append(_scaled(self._shown[batch.wrong], height, width))
        if isinstance(self._inputs, np.ndarray) and self._inputs.ndim in (3, 4):
            first = self._seen - len(batch.scores)
            self.sample.add(self._lots.random(len(batch.wrong)), first + batch.wrong, self._inputs[batch.wrong])

    def mistakes(self) -> np.ndarray:
        """The pictures that were kept."""
        return np.concatenate(self._kept)

    def refuse_pictures_left_over(self) -> None:
        """Refuses more pictures to show than there were images."""
        if isinstance(self._display, np.ndarray) and len(self._display) != self._seen:
            raise DataError(
                "`display` must hold one picture for each image. "
                f"Received: {len(self._display)} pictures for {self._seen} images"
            )


class Sample:
    """A random sample out of a stream: the images that drew the lowest lots so far."""

    def __init__(self) -> None:
        self._lots = np.empty(0)
        self.indices = np.empty(0, np.int64)
        self.images: np.ndarray | None = None

    def add(self, lots: np.ndarray, indices: np.ndarray, images: np.ndarray) -> None:
        """Draws among those so far and these."""
        lots, indices = np.concatenate([self._lots, lots]), np.concatenate([self.indices, indices])
        images = images if self.images is None else np.concatenate([self.images, images])
        chosen = np.sort(np.argsort(lots, kind="stable")[:TRUST_SAMPLE])
        self._lots, self.indices, self.images = lots[chosen], indices[chosen], images[chosen]


def _image_input(inputs: Any) -> np.ndarray:
    """The images among the inputs of a model: the first that can be shown, else the first."""
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
