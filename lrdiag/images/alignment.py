"""Places one picture on another: how it must be scaled and moved, and how well the edges of both agree then.

Source: Lucas and Kanade, "An iterative image registration technique with an application to stereo vision" (1981).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrdiag.images.thumbnails import grey_levels, resized

SIDE = 32
"""Height and width at which pictures are compared, in pixels."""
_COARSE, _FINE = 4, 2
"""Number of steps at half the resolution, and at the full one."""
_LEAST_OVERLAP = 0.6
"""Share of the picture that both must show."""
_LEAST_OF_ROOTS = 0.75
"""Correlation of the square roots of the gradients. Strong edges that two pictures have in common count less."""
_LIMITS = (0.75, 1.33)
"""Scales that are tried."""


@dataclass(frozen=True)
class Placed:
    """How the first picture of each pair lies on the second one.

    Attributes:
        scale: `float32` of shape `(pairs, 2)`, down and across: below 1 if the second picture is a part of the first.
        shift: `float32` of shape `(pairs, 2)`: how far the centre is moved, as a share of the picture.
        agreement: `float32` of shape `(pairs,)`: correlation of the gradients where both pictures are, -1 to 1.
    """

    scale: np.ndarray
    shift: np.ndarray
    agreement: np.ndarray


def place(first: np.ndarray, second: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Placed:
    """Places pictures on others.

    Args:
        first: `uint8` of shape `(pairs, height, width, channels)`.
        second: The same.
        scale: A first guess: `float32` of shape `(pairs, 2)`.
        shift: The same.
    """
    scale, shift = scale.astype(np.float32), shift.astype(np.float32)
    for side, steps in ((SIDE // 2, _COARSE), (SIDE, _FINE)):
        ours, theirs = (grey_levels(resized(each, side)) for each in (first, second))
        for _ in range(steps):
            scale, shift = _step(ours, theirs, scale, shift)
    moved, inside = _moved(ours, scale, shift)
    return Placed(scale, shift, _agreement(moved, theirs, inside))


def _moved(pictures: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pictures after scaling and moving, and the pixels that come from inside of them."""
    side = pictures.shape[1]
    offsets = np.arange(side, dtype=np.float32) - (side - 1) / 2
    at = (side - 1) / 2 + side * shift[:, :, None] + scale[:, :, None] * offsets  # (pairs, 2, side)
    inside = (at >= -0.5) & (at <= side - 0.5)
    low = np.clip(np.floor(at), 0, side - 2).astype(np.int64)
    part = np.clip(at - low, 0, 1).astype(np.float32)
    pairs = np.arange(len(pictures))[:, None]
    rows = pictures[pairs, low[:, 0]]
    rows += part[:, 0, :, None] * (pictures[pairs, low[:, 0] + 1] - rows)
    left = np.take_along_axis(rows, low[:, 1][:, None], axis=2)
    right = np.take_along_axis(rows, low[:, 1][:, None] + 1, axis=2)
    return left + part[:, 1][:, None] * (right - left), inside[:, 0, :, None] & inside[:, 1][:, None]


def _step(ours: np.ndarray, theirs: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step of least squares for scale and shift, and for the brightness and the contrast of both pictures."""
    pairs, side, _ = ours.shape
    moved, inside = _moved(ours, scale, shift)
    down, across = _gradients(moved)
    offsets = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / side
    columns = np.stack([down, across, down * offsets[:, None], across * offsets, moved, np.ones_like(moved)], axis=1)
    columns *= inside[:, None]
    columns = columns.reshape(pairs, 6, -1)
    products = columns @ columns.transpose(0, 2, 1)
    values = columns @ theirs.reshape(pairs, -1, 1)
    diagonal = np.einsum("pii->pi", products)
    diagonal *= 1.001
    diagonal += 1.0
    solved = np.linalg.solve(products, values)[..., 0]
    gain = np.where(np.abs(solved[:, 4]) > 0.2, solved[:, 4], 1)[:, None]
    changes = np.clip(solved[:, :4] / gain / side, -0.08, 0.08)
    # The gradients are those of the moved picture: a change of its place changes what is read by `scale` times as much.
    return (
        np.clip(scale * (1 + changes[:, 2:]), *_LIMITS).astype(np.float32),
        (shift + scale * changes[:, :2]).astype(np.float32),
    )


def _gradients(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    down, across = np.zeros_like(pictures), np.zeros_like(pictures)
    down[:, 1:-1] = (pictures[:, 2:] - pictures[:, :-2]) / 2
    across[:, :, 1:-1] = (pictures[:, :, 2:] - pictures[:, :, :-2]) / 2
    return down, across


def _agreement(ours: np.ndarray, theirs: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Correlation of the gradients; 0 if little of both is seen, or if a single edge or border decides it."""
    gradients = [(down * inside, across * inside) for down, across in map(_gradients, (ours, theirs))]
    agrees = (inside.mean(axis=(1, 2)) >= _LEAST_OVERLAP) & (_correlation(*map(_roots, gradients)) >= _LEAST_OF_ROOTS)
    return np.where(agrees, _correlation(*gradients), 0).astype(np.float32)


def _roots(gradients: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the same directions, with the square roots of the lengths."""
    down, across = gradients
    factors = 1 / np.sqrt(np.maximum(np.hypot(down, across), 1e-6))
    return down * factors, across * factors


def _correlation(ours: tuple[np.ndarray, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    both, own, other = (
        np.einsum("pyx,pyx->p", one[0], two[0]) + np.einsum("pyx,pyx->p", one[1], two[1])
        for one, two in ((ours, theirs), (ours, ours), (theirs, theirs))
    )
    return np.asarray(both / np.sqrt(np.maximum(own * other, 1e-9)))
