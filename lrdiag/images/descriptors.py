"""Short descriptors of pictures, in which copies are much nearer than other pictures.

A linear discriminant analysis finds them: among all linear functions of a thumbnail, those that differ most between
pictures relative to how much they change if a picture is moved, scaled and compressed slightly. The changes are made on
a sample of the pictures themselves.

Source: Fisher, "The use of multiple measurements in taxonomic problems" (1936).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lrdiag import opencv
from lrdiag.images.thumbnails import planes, resized, window

SIDE = 16
"""Height and width of the thumbnails that are described, in pixels."""
DIMENSIONS = 40
_GREY, _COLOUR = 8, 4
_NOISE = 4.0
"""Is added to the contrast, so that plain pictures are not magnified noise. In grey levels."""
Window = tuple[float, float, float]
"""Scale, and how far down and right of the centre, as shares of the picture."""
WHOLE: Window = (1.0, 0.0, 0.0)
WINDOWS: tuple[Window, ...] = (
    WHOLE, (0.92, 0.0, 0.0), (0.84, 0.0, 0.0),
    (0.84, -0.04, -0.04), (0.84, -0.04, 0.04), (0.84, 0.04, -0.04), (0.84, 0.04, 0.04),
)  # fmt: skip
"""Cut-outs of a picture that are searched for among the others: each covers shifts and scales that are similar."""
_JITTER = ((0.05, 0.04), 12)


@dataclass(frozen=True)
class Describer:
    """Projects thumbnails onto the dimensions that tell pictures apart.

    Attributes:
        weights: `float32` of shape `(values, DIMENSIONS)`: the first ones are equal for mirrored pictures, those from
            `mirrored` on have the opposite sign.
        mirrored: The number of dimensions that are equal for mirrored pictures.
    """

    weights: np.ndarray
    mirrored: int

    def __call__(self, thumbnails: np.ndarray, windows: tuple[Window, ...] = WINDOWS) -> Iterator[np.ndarray]:
        """Yields the descriptors of each window: `float32` of shape `(n, DIMENSIONS)`, in noise deviations."""
        channels = planes(thumbnails)
        for each in windows:
            yield _values(channels, each) @ self.weights


def describer(pictures: np.ndarray, random: np.random.Generator) -> Describer:
    """Finds the dimensions that tell these pictures apart.

    Args:
        pictures: A sample: `uint8` of shape `(n, height, width, channels)`.
        random: Draws the changes.
    """
    pictures = np.concatenate([pictures, pictures[:, :, ::-1]])
    channels = planes(resized(pictures, SIDE))
    before = _values(channels, WHOLE)
    noise = np.concatenate([_values(each, at) - before for each, at in _changed(pictures, channels, random)])
    weights, ratios, parity = [], [], []
    for sign in (1, -1):
        basis = _basis(len(channels), sign)
        within, between = ((basis.T @ (each.T @ each) @ basis) / len(each) for each in (noise, before - before.mean(0)))
        values, vectors = _discriminants(within, between)
        weights.append(basis @ vectors)
        ratios.append(values)
        parity.append(np.full(len(values), sign))
    best = np.argsort(-np.concatenate(ratios), kind="stable")[:DIMENSIONS]
    best = best[np.argsort(-np.concatenate(parity)[best], kind="stable")]
    return Describer(
        np.concatenate(weights, axis=1)[:, best].astype(np.float32), int((np.concatenate(parity)[best] > 0).sum())
    )


def _changed(
    pictures: np.ndarray, channels: list[np.ndarray], random: np.random.Generator
) -> Iterator[tuple[list[np.ndarray], Window]]:
    """The sample with small changes."""
    (scale, shift), times = _JITTER
    compressed = planes(resized(np.stack([_compressed(each) for each in pictures]), SIDE))
    brighter = planes(resized(np.clip(pictures * 1.2 + 10, 0, 255).astype(np.uint8), SIDE))
    for time in range(times):
        at = (1 + random.uniform(-scale, scale), *random.uniform(-shift, shift, 2))
        yield (channels, compressed, brighter)[time % 3], at


def _compressed(picture: np.ndarray) -> np.ndarray:
    coded = opencv.imencode(".jpg", np.ascontiguousarray(picture), [opencv.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(opencv.imdecode(coded, opencv.IMREAD_UNCHANGED)).reshape(picture.shape)


def _values(channels: list[np.ndarray], at: Window) -> np.ndarray:
    """The thumbnails of a window, with mean 0 and contrast 1: `float32` of shape `(n, values)`."""
    values = channels[0] @ window(SIDE, *at, _GREY)
    values -= values.mean(axis=1, keepdims=True)
    contrast = np.sqrt((values * values).mean(axis=1, keepdims=True)) + _NOISE
    colours = window(SIDE, *at, _COLOUR)
    return np.asarray(np.concatenate([values, *(each @ colours for each in channels[1:])], axis=1) / contrast)


def _basis(channels: int, sign: int) -> np.ndarray:
    """Orthonormal columns: all thumbnails that are equal to their mirror image, or to its negative."""
    sides = (_GREY, *[_COLOUR] * (channels - 1))
    blocks = [np.kron(np.eye(side), _halves(side, sign)) for side in sides]
    from scipy.linalg import block_diag

    return np.asarray(block_diag(*blocks))


def _halves(side: int, sign: int) -> np.ndarray:
    half = np.eye(side // 2)
    return np.asarray(np.concatenate([half, sign * half[::-1]]) / np.sqrt(2))


def _discriminants(within: np.ndarray, between: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.linalg import eigh

    spread = np.diag(between)
    floor = np.diag(1e-3 * spread + 1e-4 * spread.mean() + 1e-6)
    values, vectors = eigh(between, within + floor)
    return np.asarray(values), np.asarray(vectors)
