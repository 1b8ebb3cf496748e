"""Augmentation of a batch of images. Each image is augmented independently.

NumPy computes it on bytes, so it is the same on every engine. Time per batch of 256 images of 32 × 32 × 3 (two CPU
cores, best of four epochs of 40 batches): crop 0.6 ms, flip 0.6 ms, erase 0.6 ms. As Keras layers, the three took 4.9,
5.9 and 12.3 ms on TensorFlow and 7.7, 2.3 and 25.3 ms on JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np

from lrdiag.errors import SettingsError

CROP_PADDING = 4  # pixels
ERASE_PROBABILITY = 0.5
ERASE_AREA = (0.02, 0.4)  # share of the image
ERASE_ASPECT = (0.3, 3.3)  # height / width

Augmentation = Callable[[int, int, np.ndarray, np.ndarray], np.ndarray]
"""Takes the number of a batch in a run, the number of its pass over the images, the indices of its images, and the
images; returns augmented images."""


def cropped(images: np.ndarray, random: np.random.Generator, padding: int = CROP_PADDING) -> np.ndarray:
    """Pads each image by reflection and crops each one at an independent random position.

    Example:
        >>> images = np.arange(2 * 9, dtype=np.uint8).reshape(2, 3, 3, 1)
        >>> cropped(images, np.random.default_rng(0)).shape
        (2, 3, 3, 1)

    Args:
        images: Array of shape `(n, height, width, channels)`.
        random: The random numbers.
        padding: Number of reflected pixels at each edge. An image is shifted by at most this number.

    Returns:
        An array of the same shape.
    """
    count, height, width, channels = images.shape
    tops, lefts = random.integers(-padding, padding + 1, (2, count, 1))
    rows = _reflected(tops + np.arange(height), height)
    columns = _reflected(lefts + np.arange(width), width)
    # One gather of whole pixels takes a quarter of the time of indexing three axes
    pixels = (np.arange(count)[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
    return np.asarray(np.take(images.reshape(-1, channels), pixels, axis=0))


def _reflected(places: np.ndarray, length: int) -> np.ndarray:
    """Returns the indices of pixels at any places, reflected at the edges of `length` pixels."""
    inner = places % max(2 * (length - 1), 1)
    return np.asarray(length - 1 - np.abs(length - 1 - inner))


def flipped(images: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mirrors some of the images.

    Example:
        >>> flipped(np.array([[[[1], [2]]], [[[3], [4]]]]), np.array([True, False])).ravel().tolist()
        [2, 1, 3, 4]

    Args:
        images: Array of shape `(n, height, width, channels)`.
        chosen: Whether to mirror each one: booleans of shape `(n,)`.

    Returns:
        An array of the same shape.
    """
    changed = images.copy()
    changed[chosen] = images[chosen, :, ::-1]
    return changed


def erased(
    images: np.ndarray,
    random: np.random.Generator,
    probability: float = ERASE_PROBABILITY,
    area: tuple[float, float] = ERASE_AREA,
    aspect: tuple[float, float] = ERASE_ASPECT,
) -> np.ndarray:
    """Fills a random rectangle with random pixels (Zhong et al., Random Erasing Data Augmentation, AAAI 2020).

    Height and width are drawn uniformly from all pairs of integers within `area` and `aspect`. This is the paper's
    distribution, which draws area and logarithm of the aspect ratio uniformly until the rectangle fits: the change of
    variables from (area, log aspect) to (height, width) has a constant density.

    Args:
        images: `uint8` array of shape `(n, height, width, channels)`.
        random: The random numbers.
        probability: Probability that an image is changed.
        area: Smallest and largest area of the rectangle, as a share of the image.
        aspect: Smallest and largest height / width of the rectangle.

    Returns:
        An array of the same shape. It is unchanged if the images are too small for a rectangle.
    """
    count, *shape, channels = images.shape
    possible = rectangles(*shape, area, aspect)
    chosen = np.flatnonzero(random.random(count) < probability) if len(possible) else np.empty(0, np.int64)
    sizes = random.choice(possible, len(chosen))
    corners = random.integers(0, shape - sizes + 1)
    changed = images.copy()
    for image, (top, left), (height, width) in zip(chosen, corners.tolist(), sizes.tolist(), strict=True):
        fill = random.integers(0, 256, (height, width, channels), np.uint8)
        changed[image, top : top + height, left : left + width] = fill
    return changed


@cache
def rectangles(height: int, width: int, area: tuple[float, float], aspect: tuple[float, float]) -> np.ndarray:
    """Returns every height and width that a rectangle may have.

    Args:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        area: As in `erased`.
        aspect: As in `erased`.

    Returns:
        An `int64` array of shape `(k, 2)`.
    """
    rows, columns = np.mgrid[1 : height + 1, 1 : width + 1].reshape(2, -1)
    areas, aspects = rows * columns / (height * width), rows / columns
    fits = (area[0] <= areas) & (areas <= area[1]) & (aspect[0] <= aspects) & (aspects <= aspect[1])
    return np.stack([rows[fits], columns[fits]], axis=1)


_SEEDS = {"crop": 1, "flip": 2, "erase": 3}
"""Names, in the order in which they are applied, and what distinguishes their random numbers."""


def build_augmentation(names: Sequence[str], seed: int, size: int) -> Augmentation:
    """Returns a function that augments batches.

    The augmentations are applied in the order crop, flip, erase, for any order of `names`. Each has its own random
    numbers, which depend only on the seed and the number of the batch. An image is mirrored in every other pass, and a
    random half of the images in the first one: each pass is as random as with independent draws, and two passes show
    both sides of each image (Jordan, "94 % on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, section 3.6).

    Example:
        >>> augment = build_augmentation(("flip", "erase"), seed=0, size=100)
        >>> augment(7, 1, np.arange(8), np.zeros((8, 32, 32, 3), np.uint8)).shape
        (8, 32, 32, 3)

    Args:
        names: Any of `"flip"` (mirrors half of the images), `"crop"` (shifts by up to 4 pixels) and `"erase"` (fills a
            rectangle in half of the images).
        seed: Random seed.
        size: Number of images.

    Returns:
        The function. It takes the number of a batch, the number of its pass, the indices of its images, and the images,
        `uint8` of shape `(n, height, width, channels)`, and returns images of the same shape.

    Raises:
        SettingsError: If a name is unknown.
    """
    unknown = [name for name in names if name not in _SEEDS]
    if unknown:
        raise SettingsError(f"`augment` takes {', '.join(_SEEDS)}. Received: {unknown[0]!r}")
    mirrored_first = np.random.default_rng([seed, _SEEDS["flip"]]).random(size) < 0.5
    return partial(_augmented, frozenset(names), seed, mirrored_first)


def _augmented(
    names: frozenset[str],
    seed: int,
    mirrored_first: np.ndarray,
    batch: int,
    of_pass: int,
    places: np.ndarray,
    images: np.ndarray,
) -> np.ndarray:
    def random(name: str) -> np.random.Generator:
        return np.random.default_rng([seed, _SEEDS[name], batch])

    if "crop" in names:
        images = cropped(images, random("crop"))
    if "flip" in names:
        images = flipped(images, mirrored_first[places] ^ bool(of_pass % 2))
    if "erase" in names:
        images = erased(images, random("erase"))
    return images
