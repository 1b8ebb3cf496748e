"""Changes of images: a candidate for a shortcut is put on images and removed from them, each with a control.

The control changes as much, but is not the candidate. It shows what the change alone does to the predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lrdiag.images.choosing import draws


class Change(Protocol):
    """A candidate that can be put on images and removed from them."""

    def put(self, images: np.ndarray, *, control: bool = False) -> np.ndarray:
        """Returns copies of images of shape `(n, height, width, channels)` with the candidate, or with the control."""

    def remove(self, images: np.ndarray, *, control: bool = False) -> np.ndarray:
        """Returns copies without the candidate, or without the control."""


@dataclass(frozen=True)
class Paste:
    """Places that are copied from other images.

    Attributes:
        mask: `bool` of shape `(height, width)`.
        carriers: Images of the class that have the mark at these places. The control removes with them.
        others: Images of other classes. The control puts these places of them on an image.
    """

    mask: np.ndarray
    carriers: np.ndarray
    others: np.ndarray

    def put(self, images: np.ndarray, *, control: bool = False) -> np.ndarray:
        """Copies the places of a carrier; of another image for the control."""
        return self._copied(images, self.others if control else self.carriers)

    def remove(self, images: np.ndarray, *, control: bool = False) -> np.ndarray:
        """Copies the places of an image of another class; of another carrier for the control."""
        return self._copied(images, self.carriers if control else self.others)

    def _copied(self, images: np.ndarray, donors: np.ndarray) -> np.ndarray:
        changed = images.copy()
        changed[:, self.mask] = _as_many(donors, images)[:, self.mask]
        return changed


@dataclass(frozen=True)
class Pick:
    """Pixels of one colour, which are copied from other images.

    Attributes:
        lowest: `float32` of shape `(channels,)`: the lowest values of the colour, in the scale of the images.
        highest: The highest ones.
        carriers: Images of the class that have the colour.
        others: Images of other classes. The control puts pixels of them on an image.
    """

    lowest: np.ndarray
    highest: np.ndarray
    carriers: np.ndarray
    others: np.ndarray

    def put(self, images: np.ndarray, *, control: bool = False) -> np.ndarray:
        """Copies the pixels of a carrier; for the control, those at the same places of another image."""
        carriers, others = _as_many(self.carriers, images), _as_many(self.others, images)
        return np.where(self._has(carriers), others if control else carriers, images)

    def remove(self, images: np.ndarray, *, control: bool = False) -> np.ndarray:
        """Replaces the pixels by those of an image of another class, for the control as many pixels elsewhere."""
        has = self._has(images)
        return np.where(_moved(has) if control else has, _as_many(self.others, images), images)

    def _has(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(((images >= self.lowest) & (images <= self.highest)).all(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Overlay:
    """A pattern that is added.

    Attributes:
        pattern: `float32` of shape `(height, width, channels)`, in the scale of the images.
        strength: Factor for putting it on images. A pattern that only a part of the class has is weaker in its mean.
        limits: Lowest and highest value of an image.
    """

    pattern: np.ndarray
    strength: float
    limits: tuple[float, float]

    def put(self, images: np.ndarray, *, control: bool = False) -> np.ndarray:
        """Adds the pattern, for the control with its places in a random order."""
        return self._added(images, self.strength, control)

    def remove(self, images: np.ndarray, *, control: bool = False) -> np.ndarray:
        """Subtracts the pattern, for the control with its places in a random order."""
        return self._added(images, -1.0, control)

    def _added(self, images: np.ndarray, strength: float, control: bool) -> np.ndarray:
        pattern = self._shuffled() if control else self.pattern
        return within(images + np.float32(strength) * pattern, self.limits, images.dtype)

    def _shuffled(self) -> np.ndarray:
        """The pattern with its places in a random order. A shift would not change a pattern that repeats itself."""
        flat = self.pattern.reshape(-1, self.pattern.shape[-1])
        return np.asarray(flat[np.argsort(draws(0, np.arange(len(flat))))].reshape(self.pattern.shape))


@dataclass(frozen=True)
class Stretch:
    """Another range of values: `value * scale + offset` for each channel. The control leaves images as they are.

    Attributes:
        scale: `float32` of shape `(channels,)`.
        offset: The same, in the scale of the images.
        limits: Lowest and highest value of an image.
    """

    scale: np.ndarray
    offset: np.ndarray
    limits: tuple[float, float]

    def put(self, images: np.ndarray, *, control: bool = False) -> np.ndarray:
        """Gives images the range of the class."""
        return images if control else within(images * self.scale + self.offset, self.limits, images.dtype)

    def remove(self, images: np.ndarray, *, control: bool = False) -> np.ndarray:
        """Gives images of the class the range of the others."""
        return images if control else within((images - self.offset) / self.scale, self.limits, images.dtype)


def _as_many(donors: np.ndarray, images: np.ndarray) -> np.ndarray:
    """As many of the donors as there are images, in turn."""
    return np.asarray(donors[np.arange(len(images)) % len(donors)])


def _moved(has: np.ndarray) -> np.ndarray:
    """The same pixels at another place: half of the image further down and to the right."""
    return np.roll(has, (has.shape[1] // 2, has.shape[2] // 2), (1, 2))


def within(values: np.ndarray, limits: tuple[float, float], dtype: np.dtype) -> np.ndarray:
    """Returns values within limits as `dtype`."""
    clipped = np.clip(values, *limits)
    return np.asarray(clipped.round() if np.issubdtype(dtype, np.integer) else clipped).astype(dtype)
