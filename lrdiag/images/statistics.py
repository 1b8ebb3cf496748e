"""Statistics of pictures, which tell what is unusual about an image or a set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lrdiag import opencv
from lrdiag.record.image_table import ImageStatistics

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_ALIKE = 8
"""Grey levels by which pixels of one colour may differ: compression changes them."""
_EDGE = 16
"""Grey levels by which pixels differ at an edge."""
_BLOCK = 256


def grey(pictures: np.ndarray) -> np.ndarray:
    """Returns the grey values of pictures of shape `(n, height, width, 1 or 3)`: `float32` of `(n, height, width)`."""
    if pictures.shape[-1] == 1:
        return pictures[..., 0].astype(np.float32)
    return np.asarray(pictures @ _LUMA)


def statistics_of(pictures: np.ndarray) -> ImageStatistics:
    """Measures pictures.

    Args:
        pictures: `uint8` of shape `(n, height, width, 1 or 3)`.
    """
    if not len(pictures):
        none = _statistics(np.zeros((1, *pictures.shape[1:]), np.uint8))
        return ImageStatistics(**{name: values[:0] for name, values in vars(none).items()})
    # A few pictures at a time stay in the cache of the processor.
    parts = [vars(_statistics(pictures[start : start + _BLOCK])) for start in range(0, len(pictures), _BLOCK)]
    return ImageStatistics(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _statistics(pictures: np.ndarray) -> ImageStatistics:
    count, height, width, channels = pictures.shape
    tall = np.ascontiguousarray(pictures).reshape(count * height, width, channels)
    planes = [np.asarray(each).reshape(count, -1) for each in (opencv.split(tall) if channels > 1 else [tall])]
    levels = np.asarray(opencv.cvtColor(tall, opencv.COLOR_RGB2GRAY) if channels > 1 else tall)
    levels = levels.reshape(count, height, width)
    means, deviations = (np.stack(each, axis=1) for each in zip(*map(_moments, planes), strict=True))
    flat = pictures.reshape(count, -1)
    sharpness = _sharpness(*_steps(levels))
    across = _Lines.of(np.ascontiguousarray(levels.transpose(0, 2, 1))), _Lines.of(levels)
    margins, sides = _margins(*across)
    return ImageStatistics(
        brightness=means.mean(axis=1),
        contrast=_moments(levels.reshape(count, -1))[1],
        low=flat.min(axis=1).astype(np.float32),
        high=flat.max(axis=1).astype(np.float32),
        saturation=_saturation(planes),
        sharpness=sharpness,
        fineness=sharpness / np.maximum(_half_sharpness(levels), 1),
        repeats=np.asarray(np.mean([_repeats(each) for each in across], axis=0), np.float32),
        margins=margins,
        sides=sides,
        channels=means,
        deviations=deviations,
    )


def _moments(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each row."""
    values = flat.astype(np.float32)
    mean = values.mean(axis=1)
    squares = np.einsum("np,np->n", values, values) / flat.shape[1]
    return mean, np.sqrt(np.maximum(squares - mean**2, 0))


def _saturation(planes: list[np.ndarray]) -> np.ndarray:
    if len(planes) < 3:
        return np.zeros(len(planes[0]), np.float32)
    high, low = np.maximum(*planes[:2]), np.minimum(*planes[:2])
    np.maximum(high, planes[2], out=high)
    np.minimum(low, planes[2], out=low)
    high -= low
    return np.asarray(high.mean(axis=1, dtype=np.float32))


def _steps(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences between neighbours: `int16`, down and across."""
    values = levels.astype(np.int16)
    return values[:, 1:] - values[:, :-1], values[:, :, 1:] - values[:, :, :-1]


def _sharpness(down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Standard deviation of the Laplacian: the four neighbours minus four times the value, with repeated edges."""
    count, height, width = across.shape[0], across.shape[1], down.shape[2]
    laplacian = np.zeros((count, height, width), np.int16)
    laplacian[:, :-1] += down
    laplacian[:, 1:] -= down
    laplacian[:, :, :-1] += across
    laplacian[:, :, 1:] -= across
    flat = laplacian.reshape(count, height * width).astype(np.float32)
    return np.asarray(np.sqrt(np.einsum("np,np->n", flat, flat) / (height * width)))  # their mean is 0


def _half_sharpness(levels: np.ndarray) -> np.ndarray:
    """Sharpness of the pictures at half their size."""
    count, height, width = levels.shape
    if min(height, width) < 4:
        return np.zeros(count, np.float32)
    even = np.ascontiguousarray(levels[:, : height // 2 * 2, : width // 2 * 2]).reshape(-1, width // 2 * 2)
    half = opencv.resize(even, (width // 2, len(even) // 2), interpolation=opencv.INTER_AREA)
    return _sharpness(*_steps(half.reshape(count, height // 2, width // 2)))


class _Lines(NamedTuple):
    """The rows or the columns of pictures. Values of a line are one below the other, which NumPy reduces fastest.

    Attributes:
        levels: `uint8` of shape `(n, places, lines)`.
        low: The lowest value of each line: `int16` of shape `(n, lines)`.
        high: The highest one.
    """

    levels: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, levels: np.ndarray) -> _Lines:
        return cls(levels, *(each.astype(np.int16) for each in (levels.min(axis=1), levels.max(axis=1))))


def _repeats(lines: _Lines) -> np.ndarray:
    """The share of lines that are like the one before, but not of one colour."""
    _, steps = _steps(lines.levels)
    if not steps.shape[2]:
        return np.zeros(len(steps))
    changes = (steps.max(axis=1) > 1) | (steps.min(axis=1) < -1)
    varied = lines.high[:, 1:] - lines.low[:, 1:] > _ALIKE
    return np.asarray((varied & ~changes).mean(axis=1))


def _margins(rows: _Lines, columns: _Lines) -> tuple[np.ndarray, np.ndarray]:
    """How much of each side has one colour, and the values of the outermost lines: `float32` of shape `(n, 4)`."""
    count = len(rows.levels)
    margins, sides = np.zeros((count, 4), np.float32), np.zeros((count, 4), np.float32)
    for lines, places in ((rows, (0, 1)), (columns, (2, 3))):
        for place, step in zip(places, (1, -1), strict=True):
            low, high = lines.low[:, ::step], lines.high[:, ::step]
            margins[:, place] = _margin(low, high, lines.levels.transpose(0, 2, 1)[:, ::step])
            sides[:, place] = np.where(high[:, 0] - low[:, 0] <= _ALIKE, low[:, 0], -1)
    return margins, sides


def _margin(low: np.ndarray, high: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """How much of a picture, from its first line on, has one colour and ends with a straight edge."""
    size = low.shape[1]
    one_colour = (high - low <= _ALIKE) & (np.abs(low - low[:, :1]) <= _ALIKE)
    length = np.where(one_colour.all(axis=1), 0, one_colour.argmin(axis=1))
    rows = np.flatnonzero(length)
    ends = np.zeros(len(rows))
    for after in (0, 1):  # the edge may be blurred a little
        line = lines[rows, np.minimum(length[rows] + after, size - 1)].astype(np.int16)
        ends = np.maximum(ends, (np.abs(line - low[rows, :1]) > _EDGE).mean(axis=1))
    margin = np.zeros(len(low), np.float32)
    margin[rows] = np.where(ends >= 0.5, length[rows] / size, 0)
    return margin


def laplacian(values: np.ndarray) -> np.ndarray:
    """The sum of the four neighbours minus four times the value; edges are repeated."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    neighbours = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return np.asarray(neighbours - 4 * values)
