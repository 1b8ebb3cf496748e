"""Finds images that show the same: equal ones, and ones that were mirrored, moved, cut, compressed or brightened.

Three searches find candidates: equal bytes, sketches that have a number in common, and descriptors that are near each
other. The candidates of the last one are placed on each other, and are copies if their gradients agree far better than
those of the nearest unrelated images of the same set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from lrdiag.images.alignment import place
from lrdiag.images.choosing import sample
from lrdiag.images.descriptors import SIDE, WINDOWS, describer
from lrdiag.images.joining import Index
from lrdiag.images.picture_sets import PictureSets, parts
from lrdiag.images.same_pixels import are_equal, fingerprints, moved_kind, runs
from lrdiag.images.sketches import NOTHING, SIZE, sketches
from lrdiag.images.thumbnails import resized
from lrdiag.record.data_facts import CopyKind

FEWEST = 40
"""Fewest images among which changed copies are searched for."""
_SAMPLE = 500
"""Number of images from which the descriptors are learned."""
_JOINED = 20
"""Number of dimensions in which near descriptors are searched for."""
_RADIUS, _WHOLE_RADIUS = 8.5, 13.0
"""Distances of candidates, in noise deviations: in these dimensions, and in all."""
_UNDECIDED = 3.0
"""The sign of a dimension within this many deviations of 0 may be the other one in a copy."""
_MOST_NEAR = 8
"""Number of near images that an image has on average, at most. The radius is reduced until it has no more."""
_TENTH = 10
_MOST_PLACED = 0.15
"""Pairs that are placed on each other, per image, and 1,000 more."""
_UNRELATED = 200
"""Number of images whose unrelated neighbours are placed on them."""
_RANKS = slice(2, 8)
"""Ranks of the neighbours that are taken for unrelated. Copies come before them."""
_PLACED_AT_ONCE = 256
"""Pairs that are placed at once. They stay in the cache of the processor."""
_EXPECTED = 0.02
"""Expected number of false pairs in the whole set."""
_LEAST_AGREEMENT = 0.8
"""Agreement of copies at least."""
_MOST_AGREEMENT, _MOST_IN_SMALL, _SMALL = 0.99, 0.95, 16
"""If unrelated images agree more than this, copies can't be told from them: in general, and in images of fewer pixels
than 16 in height or width, which are often equal in all that can be seen."""
_LEAST_CONTRAST = 3.0
"""Standard deviation of all values, in grey levels, below which an image is blank. Blank images are no copies."""
_KINDS: tuple[CopyKind, ...] = ("exact", "near", "mirrored", "shifted", "scaled")
_CODES = {kind: code for code, kind in enumerate(_KINDS)}


@dataclass(frozen=True)
class Pairs:
    """Pairs of images that show the same. Images are counted through all sets.

    Attributes:
        first: `int64` of shape `(pairs,)`: the lower number.
        second: `int64` of shape `(pairs,)`: the higher one.
        kinds: How one differs from the other.
        agreement: `float32` of shape `(pairs,)`: 1 if the pixels are equal.
        tells_near: Whether changed copies can be told from images that are only similar. If not, all pairs have equal
            pixels.
    """

    first: np.ndarray
    second: np.ndarray
    kinds: list[CopyKind]
    agreement: np.ndarray
    tells_near: bool


@dataclass(frozen=True)
class _Candidates:
    """Pairs of images that may show the same.

    Attributes:
        first: `int64` of shape `(pairs,)`.
        second: The same.
        windows: `int64` of shape `(pairs,)`: the window of the first image that resembles the second one.
        mirrored: `bool` of shape `(pairs,)`: whether the first image must be mirrored.
        distances: `float32` of shape `(pairs,)`: squared distances of the descriptors.
    """

    first: np.ndarray
    second: np.ndarray
    windows: np.ndarray
    mirrored: np.ndarray
    distances: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> _Candidates:
        return _Candidates(*(each[rows] for each in vars(self).values()))

    @classmethod
    def joined(cls, found: Sequence[_Candidates]) -> _Candidates:
        return cls(*(np.concatenate(each) for each in zip(*(vars(one).values() for one in found), strict=True)))


_Found = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""First and second images, codes of the kinds, and agreements."""


def copied(sets: Sequence[np.ndarray]) -> Pairs:
    """Finds the copies in and between sets of images.

    Args:
        sets: `uint8` arrays of shape `(n, height, width, channels)`, with the same number of channels.
    """
    pictures = PictureSets([each for each in sets if len(each)])
    search = _Search(pictures)
    found = [search.equal(), search.moved()]
    limit = search.limit() if len(pictures) >= FEWEST else inf
    tells_near = limit <= (_MOST_IN_SMALL if pictures.smallest_side < _SMALL else _MOST_AGREEMENT)
    if tells_near:
        found.append(search.near(limit))
    # Each pair is kept once, as the search that found it first describes it.
    first, second, codes, agreement = (np.concatenate(each) for each in zip(*found, strict=True))
    low, high = np.minimum(first, second), np.maximum(first, second)
    _, kept = np.unique(np.stack([low, high]), axis=1, return_index=True)
    low, high, codes = low[kept], high[kept], codes[kept]
    codes[search.have_equal_bytes(low, high)] = _CODES["exact"]  # pairs of a row of equal images
    return Pairs(low, high, [_KINDS[code] for code in codes], agreement[kept], tells_near)


class _Search:
    """Describes all pictures, and searches for copies among them."""

    def __init__(self, pictures: PictureSets) -> None:
        self._pictures, size = pictures, len(pictures)
        describe = describer(pictures[sample(0, size, _SAMPLE)], np.random.default_rng(0))
        self._signed = describe.mirrored
        self._windows = np.empty((len(WINDOWS), size, describe.weights.shape[1]), np.float32)
        self._sketches, self._places = np.empty((size, SIZE), np.uint32), np.empty((size, SIZE, 2), np.int32)
        self._bytes, self._blank = np.empty(size, np.uint64), np.empty(size, bool)
        for rows, block in pictures.blocks():
            thumbnails = resized(block, SIDE)
            for number, values in enumerate(describe(thumbnails)):
                self._windows[number, rows] = values
            self._sketches[rows], self._places[rows] = sketches(block)
            self._bytes[rows] = fingerprints(block)
            self._blank[rows] = thumbnails.reshape(len(block), -1).std(axis=1) < _LEAST_CONTRAST
        self._signs = self._signs_of(self._windows[0])
        self._points = self._turned(self._windows[0], self._signs)
        self._joined = np.argsort(-self._points.std(axis=0), kind="stable")[:_JOINED]

    def _signs_of(self, values: np.ndarray) -> np.ndarray:
        """-1 for pictures that must be mirrored, so that a picture and its mirror image have one descriptor."""
        return np.where(values[:, self._signed] < 0, -1, 1).astype(np.float32)

    def _turned(self, values: np.ndarray, signs: np.ndarray) -> np.ndarray:
        turned = values.copy()
        turned[:, self._signed :] *= signs[:, None]
        return turned

    def equal(self) -> _Found:
        """Images with the same bytes."""
        first, second = runs(self._bytes, np.flatnonzero(~self._blank))
        same = are_equal(self._pictures, first, second)
        first, second = first[same], second[same]
        return first, second, np.full(len(first), _CODES["exact"]), np.ones(len(first), np.float32)

    def have_equal_bytes(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Returns whether the images of each pair are equal, of which is known that they show the same."""
        return np.asarray(self._bytes[first] == self._bytes[second])

    def moved(self) -> _Found:
        """Images that have pixels in common, mirrored or at other places."""
        found = []
        for number in range(SIZE):
            told = np.flatnonzero((self._sketches[:, number] != NOTHING) & ~self._blank)
            first, second = runs(self._sketches[:, number], told)
            found.append((first, second, self._places[first, number], self._places[second, number]))
        first, second, ours, theirs = (np.concatenate(each) for each in zip(*found, strict=True))
        _, kept = np.unique(np.stack([first, second]), axis=1, return_index=True)
        codes = np.full(len(first), -1)
        for rows in (kept[part] for part in parts(len(kept))):
            pairs = zip(
                self._pictures[first[rows]], self._pictures[second[rows]], ours[rows], theirs[rows], strict=True
            )
            codes[rows] = [-1 if (kind := moved_kind(*pair)) is None else _CODES[kind] for pair in pairs]
        rows = np.flatnonzero(codes >= 0)
        return first[rows], second[rows], codes[rows], np.ones(len(rows), np.float32)

    def limit(self) -> float:
        """The agreement above which two images are copies: what unrelated neighbours of a sample do not reach."""
        chosen = sample(1, len(self._pictures), _UNRELATED)
        chosen = chosen[~self._blank[chosen]]
        if len(chosen) < FEWEST // 2:
            return inf
        distances = _distances(self._points[chosen], self._points)
        distances[:, self._blank] = inf
        distances[np.arange(len(chosen)), chosen] = inf
        ranks = np.argpartition(distances, _RANKS.stop - 1, axis=1)[:, : _RANKS.stop]
        nearest = np.take_along_axis(distances, ranks, axis=1).argsort(axis=1)[:, _RANKS]
        others = np.take_along_axis(ranks, nearest, axis=1)
        first, second = np.repeat(chosen, others.shape[1]), others.ravel()
        nothing = np.zeros(len(first), np.int64)
        mirrored = self._signs[first] != self._signs[second]
        agreement = self._placed(_Candidates(first, second, nothing, mirrored, nothing))[2]
        return _limit(agreement.reshape(others.shape).max(axis=1), len(self._pictures))

    def near(self, limit: float) -> _Found:
        """Images whose gradients agree after one is placed on the other."""
        found = self._candidates()
        scale, shift, agreement = self._placed(found)
        codes = np.full(len(found.first), _CODES["near"])
        codes[np.abs(shift).max(axis=1, initial=0) > 0.02] = _CODES["shifted"]
        codes[np.abs(scale - 1).max(axis=1, initial=0) > 0.04] = _CODES["scaled"]
        codes[found.mirrored] = _CODES["mirrored"]
        rows = np.flatnonzero(agreement > limit)
        return found.first[rows], found.second[rows], codes[rows], agreement[rows]

    def _candidates(self) -> _Candidates:
        """The pairs with the nearest descriptors, relative to those of other images."""
        index = Index(np.ascontiguousarray(self._points[:, self._joined]))
        radius = self._radius()
        found = _Candidates.joined([self._near_window(index, number, radius) for number in range(len(WINDOWS))])
        order = np.argsort(_relative(found.first, found.distances, _WHOLE_RADIUS**2), kind="stable")
        found = found[order]
        _, kept = np.unique(np.sort(np.stack([found.first, found.second]), axis=0), axis=1, return_index=True)
        return found[np.sort(kept)[: int(_MOST_PLACED * len(self._points)) + 1000]]

    def _near_window(self, index: Index, number: int, radius: float) -> _Candidates:
        values = self._windows[number]
        own, signs = np.arange(len(values)), self._signs_of(values)
        undecided = np.flatnonzero(np.abs(values[:, self._signed]) < _UNDECIDED)
        own, signs = np.concatenate([own, undecided]), np.concatenate([signs, -signs[undecided]])
        kept = ~self._blank[own]
        own, signs = own[kept], signs[kept]
        queries = self._turned(values[own], signs)
        rows, others = index.near(np.ascontiguousarray(queries[:, self._joined]), radius)
        kept = (own[rows] != others) & ~self._blank[others]
        rows, others = rows[kept], others[kept]
        distances = np.empty(len(rows), np.float32)
        for part in parts(len(rows), 2**15):
            distances[part] = ((queries[rows[part]] - self._points[others[part]]) ** 2).sum(axis=1)
        kept = distances < _WHOLE_RADIUS**2
        rows, others, distances = rows[kept], others[kept], distances[kept]
        mirrored = signs[rows] != self._signs[others]
        return _Candidates(own[rows], others, np.full(len(rows), number), mirrored, distances)

    def _radius(self) -> float:
        """The radius. It is smaller in a set in which all images are similar."""
        chosen = sample(2, len(self._points), _UNRELATED)
        distances = _distances(self._points[chosen][:, self._joined], self._points[:, self._joined])
        most = min(distances.size - 1, (_MOST_NEAR + 1) * len(chosen))
        return float(min(_RADIUS, np.sqrt(max(0.0, np.partition(distances, most, axis=None)[most]))))

    def _placed(self, found: _Candidates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scales and shifts of shape `(pairs, 2)`, and agreements."""
        size = len(found.first)
        scale, shift = np.empty((size, 2), np.float32), np.empty((size, 2), np.float32)
        agreement = np.empty(size, np.float32)
        for rows in parts(size, _PLACED_AT_ONCE):
            mirrored = found.mirrored[rows]
            ours = self._pictures[found.first[rows]]
            ours[mirrored] = ours[mirrored][:, :, ::-1]
            guess = np.array(WINDOWS, np.float32)[found.windows[rows]]
            guess[mirrored, 2] *= -1
            placed = place(ours, self._pictures[found.second[rows]], guess[:, [0, 0]], guess[:, 1:])
            scale[rows], shift[rows], agreement[rows] = placed.scale, placed.shift, placed.agreement
        return scale, shift, agreement


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared distances: `float32` of shape `(points, others)`."""
    products = points @ others.T
    products *= -2
    products += (points**2).sum(axis=1)[:, None]
    products += (others**2).sum(axis=1)
    return np.asarray(products)


def _relative(rows: np.ndarray, distances: np.ndarray, most: float) -> np.ndarray:
    """Divides the distances of each row by its tenth one, or by `most` if it has fewer."""
    order = np.lexsort((distances, rows))
    starts = np.flatnonzero(np.r_[True, np.diff(rows[order]) > 0][: len(rows)])
    sizes = np.diff(np.r_[starts, len(rows)])
    tenth = np.full(len(starts), most)
    many = sizes >= _TENTH
    tenth[many] = np.maximum(distances[order][starts[many] + _TENTH - 1], 1e-9)
    relative = np.empty(len(rows))
    relative[order] = distances[order] / np.repeat(tenth, sizes)
    return relative


def _limit(agreements: np.ndarray, size: int) -> float:
    """The agreement that unrelated images of a set of this size do not reach.

    Agreements are correlations, which Fisher's transformation makes nearly normal. The upper half has the spread.
    """
    from scipy.stats import norm

    middle, high = np.quantile(np.arctanh(np.clip(agreements, -0.9999, 0.9999)), (0.5, 0.9))
    deviations = norm.isf(_EXPECTED / size) / norm.isf(0.1)
    return max(_LEAST_AGREEMENT, float(np.tanh(middle + deviations * (high - middle))))
