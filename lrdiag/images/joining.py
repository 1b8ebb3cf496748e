"""Finds pairs of points that are near each other."""

from __future__ import annotations

import numpy as np

_LEAF = 200
"""Number of points in a cell, about."""
_MARGIN = 2.5
"""A query this near a boundary looks on both sides."""
_MOST_BITS = 10


class Index:
    """Points in cells. Each of the first dimensions is divided at its median.

    Args:
        points: `float32` of shape `(n, dimensions)`. The difference between a point and what is searched for has a
            standard deviation of about 1 in each dimension.
    """

    def __init__(self, points: np.ndarray) -> None:
        bits = int(np.clip(np.log2(max(1.0, len(points) / _LEAF)), 0, min(_MOST_BITS, points.shape[1])))
        self._medians = np.median(points[:, :bits], axis=0)
        cells = self._cells(points)
        self._order = np.argsort(cells, kind="stable")
        own = points[self._order]
        # |a - b|² < r² is a·b - |b|²/2 - (|a|² - r²)/2 > 0, a single product of a and b with two more numbers each.
        self._points = np.column_stack([own, -_squares(own) / 2, np.ones(len(own), np.float32)])
        self._starts = np.searchsorted(cells[self._order], np.arange((1 << bits) + 1))

    def _cells(self, points: np.ndarray) -> np.ndarray:
        bits = len(self._medians)
        # Small integers are sorted in linear time.
        return np.asarray((points[:, :bits] > self._medians) @ (1 << np.arange(bits)), np.uint16)

    def near(self, queries: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns pairs that are nearer than `radius`: rows of `queries` and rows of `points`, `int64` of `(pairs,)`.

        A pair is missed if it is divided by a boundary that the query is far from.
        """
        rows, cells = self._visits(queries)
        limits = (_squares(queries) - np.float32(radius**2)) / 2
        longer = np.column_stack([queries, np.ones(len(queries), np.float32), -limits])
        order = np.argsort(cells, kind="stable")
        rows = rows[order]
        ends = np.searchsorted(cells[order], np.arange(len(self._starts)))
        found = []
        for cell in range(len(self._starts) - 1):
            visitors = rows[ends[cell] : ends[cell + 1]]
            first, second = self._within(longer[visitors], cell)
            found.append((visitors[first], self._order[second]))
        return np.concatenate([first for first, _ in found]), np.concatenate([second for _, second in found])

    def _visits(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cells that each query looks into: its own, and those beyond near boundaries."""
        rows, cells = np.arange(len(queries)), self._cells(queries)
        for bit, median in enumerate(self._medians):
            near = np.abs(queries[rows, bit] - median) < _MARGIN
            rows, cells = np.concatenate([rows, rows[near]]), np.concatenate([cells, cells[near] ^ np.uint16(1 << bit)])
        return rows, cells

    def _within(self, queries: np.ndarray, cell: int) -> tuple[np.ndarray, np.ndarray]:
        start, end = self._starts[cell], self._starts[cell + 1]
        if start == end:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        places = np.flatnonzero(queries @ self._points[start:end].T > 0)
        first, second = np.divmod(places, end - start)
        return first, second + start


def _squares(points: np.ndarray) -> np.ndarray:
    """Squared lengths: `float32` of shape `(n,)`."""
    return np.asarray(np.einsum("ij,ij->i", points, points))
