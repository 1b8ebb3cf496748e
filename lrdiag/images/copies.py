"""Finds images that show the same: equal ones, and ones that were mirrored, moved, cut, compressed or brightened.

Three searches find candidates: equal bytes, sketches that have a number in common, and descriptors that are near each
other. Candidates are placed on each other. They are copies if their gradients agree far better than those of the
nearest unrelated images of the same set do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from lrdiag.images.alignment import place
from lrdiag.images.choosing import sample
from lrdiag.images.descriptors import SIDE, WINDOWS, Describer, describer
from lrdiag.images.joining import Index
from lrdiag.images.sketches import NOTHING, edges, sketches
from lrdiag.images.thumbnails import resized
from lrdiag.record.data_facts import CopyKind

_BLOCK = 512
_SAMPLE = 500
"""Number of images from which the descriptors are learned."""
_JOINED = 20
"""Number of dimensions in which near descriptors are searched for."""
_RADIUS, _WHOLE_RADIUS = 8.5, 13.0
"""Distances of candidates, in noise deviations: in these dimensions, and in all."""
_UNDECIDED = 3.0
"""A sign within this many deviations of 0 may be the other one in a copy."""
_MOST_NEAR = 8
"""Most near images that an image has on average. The radius is reduced until it has no more."""
_MOST_PLACED = 0.25
"""Most pairs that are placed on each other, per image."""
_TENTH = 10
_NEIGHBOURS = slice(2, 8)
"""Ranks of the neighbours that are taken for unrelated images. Copies come before them."""
_UNRELATED = 300
"""Number of images whose unrelated neighbours are looked at."""
_FEWEST = 40
_EXPECTED = 0.02
"""Expected number of false pairs in the whole set."""
_LEAST_AGREEMENT, _MOST_AGREEMENT = 0.6, 0.985
"""Bounds of the agreement from which on two images are copies. Above the upper one, copies can't be told apart."""
_EQUAL = 0.9
"""Share of edge pixels that must be equal in copies that were moved by whole pixels."""
_LEAST_SHARED = 0.5
"""Share of the picture that such copies must have in common."""
_LEAST_CONTRAST = 3.0
"""Standard deviation of the grey values below which an image is blank, and has no copies."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of images that show the same. Images are counted through all sets.

    Attributes:
        first: `int64` of shape `(pairs,)`: the lower number of both.
        second: `int64` of shape `(pairs,)`: the higher one.
        kinds: How the second differs from the first.
        agreement: `float32` of shape `(pairs,)`: 1 for equal images.
        tells_near: Whether near copies can be told from images that are only similar. If not, all copies are equal.
    """

    first: np.ndarray
    second: np.ndarray
    kinds: list[CopyKind]
    agreement: np.ndarray
    tells_near: bool


class Pictures:
    """The pictures of all sets, which may differ in size.

    Args:
        sets: `uint8` arrays of shape `(n, height, width, channels)`.
    """

    def __init__(self, sets: Sequence[np.ndarray]) -> None:
        self._sets = sets
        self._starts = np.cumsum([0, *(len(each) for each in sets)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields all of them, some hundred at a time."""
        for each in self._sets:
            for start in range(0, len(each), _BLOCK):
                yield each[start : start + _BLOCK]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Some of them, resized to the size of the first set if they differ."""
        first = self._sets[0]
        taken = np.empty((len(rows), *first.shape[1:]), np.uint8)
        part = np.searchsorted(self._starts, rows, side="right") - 1
        for number, each in enumerate(self._sets):
            chosen = part == number
            found = each[rows[chosen] - self._starts[number]]
            taken[chosen] = found if found.shape[1:] == taken.shape[1:] else _fitted(found, taken.shape)
        return taken


def _fitted(pictures: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    from lrdiag import opencv

    fitted = np.empty((len(pictures), *shape[1:]), np.uint8)
    for row, picture in enumerate(pictures):
        small = opencv.resize(picture, (shape[2], shape[1]), interpolation=opencv.INTER_AREA)
        fitted[row] = small.reshape(shape[1], shape[2], -1)
    return fitted


def copied(sets: Sequence[np.ndarray]) -> Pairs:
    """Finds the copies in and between sets of images.

    Args:
        sets: `uint8` arrays of shape `(n, height, width, channels)`, with the same number of channels.
    """
    pictures = Pictures([each for each in sets if len(each)])
    search = _Search(pictures)
    exact = search.equal()
    if len(pictures) < _FEWEST:
        return _merged([exact], False)
    limit = search.limit()
    if limit > _MOST_AGREEMENT:
        return _merged([exact], False)
    return _merged([exact, search.moved(), search.near(limit)], True)


Found = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""First and second images, codes of the kinds, and agreements."""
_KINDS: tuple[CopyKind, ...] = ("exact", "near", "mirrored", "shifted", "scaled")


def _merged(found: Sequence[Found], tells_near: bool) -> Pairs:
    """All pairs, each once and as the search that found it first describes it."""
    first, second, kinds, agreement = (np.concatenate(each) for each in zip(*found, strict=True))
    low, high = np.minimum(first, second), np.maximum(first, second)
    _, kept = np.unique(np.stack([low, high]), axis=1, return_index=True)
    return Pairs(low[kept], high[kept], [_KINDS[kind] for kind in kinds[kept]], agreement[kept], tells_near)


class _Search:
    """Describes all pictures, and searches for copies among them."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._describer: Describer | None = None
        chosen = sample(0, len(pictures), _SAMPLE)
        describe = describer(pictures[chosen], np.random.default_rng(0))
        self._signed = describe.mirrored
        size = len(pictures)
        self._windows = np.empty((len(WINDOWS), size, describe.weights.shape[1]), np.float32)
        self._sketches = np.empty((size, 4), np.uint32)
        self._places = np.empty((size, 4, 2), np.int32)
        self._bytes = np.empty(size, np.uint64)
        self._blank = np.empty(size, bool)
        start = 0
        for block in pictures.blocks():
            rows = slice(start, start + len(block))
            small = resized(block, SIDE)
            for number, values in enumerate(describe(small)):
                self._windows[number, rows] = values
            self._sketches[rows], self._places[rows] = sketches(block)
            self._bytes[rows] = _fingerprints(block)
            self._blank[rows] = small.reshape(len(block), -1).std(axis=1) < _LEAST_CONTRAST
            start += len(block)
        self._turned = np.where(self._windows[0, :, self._signed] < 0, -1, 1).astype(np.float32)
        self._points = self._turn(self._windows[0], self._turned)
        self._order = np.argsort(-self._points.std(axis=0), kind="stable")[:_JOINED]

    def _turn(self, values: np.ndarray, signs: np.ndarray) -> np.ndarray:
        """The descriptors of pictures that are mirrored where the sign is negative."""
        turned = values.copy()
        turned[:, self._signed :] *= signs[:, None]
        return turned

    def equal(self) -> Found:
        """Images with the same bytes."""
        first, second = _runs(self._bytes, np.flatnonzero(~self._blank))
        same = _same(self._pictures, first, second)
        return _all(first[same], second[same], _KINDS.index("exact"))

    def moved(self) -> Found:
        """Images that have pixels in common, at other places or mirrored."""
        pairs = [self._shared(number) for number in range(self._sketches.shape[1])]
        first, second, ours, theirs = (np.concatenate(each) for each in zip(*pairs, strict=True))
        _, kept = np.unique(np.stack([first, second]), axis=1, return_index=True)
        first, second, ours, theirs = (each[kept] for each in (first, second, ours, theirs))
        kinds = (
            np.concatenate(
                [
                    _moved_kinds(self._pictures, *(each[rows] for each in (first, second, ours, theirs)))
                    for rows in _parts(len(first))
                ]
            )
            if len(first)
            else np.empty(0, np.int64)
        )
        found = kinds >= 0
        return first[found], second[found], kinds[found], np.ones(int(found.sum()), np.float32)

    def _shared(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        rows = np.flatnonzero((self._sketches[:, number] != NOTHING) & ~self._blank)
        first, second = _runs(self._sketches[:, number], rows)
        return first, second, self._places[first, number], self._places[second, number]

    def limit(self) -> float:
        """The agreement above which two images are copies, from the neighbours of a sample that are no copies."""
        chosen = sample(1, len(self._pictures), _UNRELATED)
        chosen = chosen[~self._blank[chosen]]
        if len(chosen) < _FEWEST // 2:
            return inf
        points = self._points[chosen]
        distances = (points**2).sum(axis=1)[:, None] + (self._points**2).sum(axis=1) - 2 * points @ self._points.T
        distances[np.arange(len(chosen)), chosen] = -1
        distances[:, self._blank] = inf
        ranks = np.argpartition(distances, _NEIGHBOURS.stop, axis=1)[:, : _NEIGHBOURS.stop + 1]
        ranks = np.take_along_axis(ranks, np.take_along_axis(distances, ranks, axis=1).argsort(axis=1), axis=1)
        others = ranks[:, 1:][:, _NEIGHBOURS]
        first = np.repeat(chosen, others.shape[1])
        second = others.ravel()
        agreement = self._placed(
            first, second, np.zeros(len(first), np.int64), self._turned[first] != self._turned[second]
        )[2]
        return _limit(agreement.reshape(others.shape).max(axis=1), len(self._pictures))

    def near(self, limit: float) -> Found:
        """Images whose gradients agree after one is placed on the other."""
        first, second, windows, mirrored = self._candidates()
        scale, shift, agreement = self._placed(first, second, windows, mirrored)
        found = agreement > limit
        kinds = np.full(len(first), _KINDS.index("near"))
        kinds[np.abs(shift).max(axis=1, initial=0) > 0.02] = _KINDS.index("shifted")
        kinds[np.abs(scale - 1).max(axis=1, initial=0) > 0.04] = _KINDS.index("scaled")
        kinds[mirrored] = _KINDS.index("mirrored")
        return first[found], second[found], kinds[found], agreement[found]

    def _candidates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        index = Index(np.ascontiguousarray(self._points[:, self._order]))
        radius = self._radius()
        found = []
        for number, values in enumerate(self._windows):
            own = np.arange(len(values))
            signs = np.where(values[:, self._signed] < 0, -1, 1).astype(np.float32)
            undecided = np.flatnonzero(np.abs(values[:, self._signed]) < _UNDECIDED)
            own, signs = np.concatenate([own, undecided]), np.concatenate([signs, -signs[undecided]])
            queries = self._turn(values[own], signs)
            rows, others = index.near(np.ascontiguousarray(queries[:, self._order]), radius)
            kept = (own[rows] != others) & ~self._blank[own[rows]] & ~self._blank[others]
            rows, others = rows[kept], others[kept]
            distances = (
                np.concatenate(
                    [
                        ((queries[rows[part]] - self._points[others[part]]) ** 2).sum(axis=1)
                        for part in _parts(len(rows), 65536)
                    ]
                )
                if len(rows)
                else np.empty(0, np.float32)
            )
            kept = distances < _WHOLE_RADIUS**2
            rows, others, distances = rows[kept], others[kept], distances[kept]
            found.append(
                (own[rows], others, np.full(len(rows), number), signs[rows] != self._turned[others], distances)
            )
        first, second, windows, mirrored, distances = (np.concatenate(each) for each in zip(*found, strict=True))
        distances = _relative(first, distances, _WHOLE_RADIUS**2)
        order = np.argsort(distances, kind="stable")
        _, kept = np.unique(np.sort(np.stack([first, second]), axis=0)[:, order], axis=1, return_index=True)
        kept = order[np.sort(kept)[: int(_MOST_PLACED * len(self._points)) + 1000]]
        return first[kept], second[kept], windows[kept], mirrored[kept]

    def _radius(self) -> float:
        """The radius within which images have few others, in a set in which all images are similar."""
        chosen = sample(2, len(self._points), _UNRELATED)
        points, all_points = self._points[chosen][:, self._order], self._points[:, self._order]
        distances = (points**2).sum(axis=1)[:, None] + (all_points**2).sum(axis=1) - 2 * points @ all_points.T
        most = min(distances.size - 1, (_MOST_NEAR + 1) * len(chosen))
        return float(min(_RADIUS, np.sqrt(max(0.0, np.partition(distances, most, axis=None)[most]))))

    def _placed(
        self, first: np.ndarray, second: np.ndarray, windows: np.ndarray, mirrored: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scale, shift = np.ones((len(first), 2), np.float32), np.zeros((len(first), 2), np.float32)
        agreement = np.zeros(len(first), np.float32)
        guesses = np.array(WINDOWS, np.float32)
        for rows in _parts(len(first)):
            ours = self._pictures[first[rows]]
            ours[mirrored[rows]] = ours[mirrored[rows]][:, :, ::-1]
            guess = guesses[windows[rows]]
            guess[mirrored[rows], 2] *= -1
            placed = place(ours, self._pictures[second[rows]], np.repeat(guess[:, :1], 2, axis=1), guess[:, 1:])
            scale[rows], shift[rows], agreement[rows] = placed.scale, placed.shift, placed.agreement
        return scale, shift, agreement


def _relative(rows: np.ndarray, distances: np.ndarray, most: float) -> np.ndarray:
    """Divides the distances of each row by its tenth one, or by the largest that is looked at."""
    order = np.lexsort((distances, rows))
    starts = np.flatnonzero(np.r_[True, np.diff(rows[order]) > 0])
    sizes = np.diff(np.r_[starts, len(rows)])
    tenth = np.full(len(starts), most)
    many = sizes >= _TENTH
    tenth[many] = distances[order][starts[many] + _TENTH - 1]
    relative = np.empty(len(rows))
    relative[order] = distances[order] / np.repeat(np.maximum(tenth, 1e-9), sizes)
    return relative


def _limit(agreements: np.ndarray, size: int) -> float:
    """The agreement that unrelated images of a set of this size do not reach.

    Agreements are correlations: Fisher's transformation makes them nearly normal. The upper half has the spread.
    """
    from scipy.stats import norm

    values = np.arctanh(np.clip(agreements, -0.999999, 0.999999))
    middle, high = np.quantile(values, (0.5, 0.9))
    deviation = (high - middle) / norm.ppf(0.9)
    return max(_LEAST_AGREEMENT, float(np.tanh(middle + norm.isf(_EXPECTED / size) * deviation)))


def _fingerprints(pictures: np.ndarray) -> np.ndarray:
    """A number for the bytes of each picture: `uint64` of shape `(n,)`."""
    flat = pictures.reshape(len(pictures), -1)
    padded = np.pad(flat, ((0, 0), (0, -flat.shape[1] % 8)))
    words = np.ascontiguousarray(padded).view(np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, words.shape[1], np.uint64) | np.uint64(1)
    words = words ^ (words >> np.uint64(31))
    return np.asarray((words * factors).sum(axis=1, dtype=np.uint64))


def _runs(numbers: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows with equal numbers, each row with the next one."""
    order = rows[np.argsort(numbers[rows], kind="stable")]
    same = np.flatnonzero(numbers[order[1:]] == numbers[order[:-1]])
    return order[same], order[same + 1]


def _parts(size: int, most: int = 1024) -> Iterator[slice]:
    for start in range(0, size, most):
        yield slice(start, min(start + most, size))


def _same(pictures: Pictures, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    same = np.zeros(len(first), bool)
    for rows in _parts(len(first)):
        same[rows] = (pictures[first[rows]] == pictures[second[rows]]).reshape(len(first[rows]), -1).all(axis=1)
    return same


def _all(first: np.ndarray, second: np.ndarray, kind: int) -> Found:
    return first, second, np.full(len(first), kind), np.ones(len(first), np.float32)


def _moved_kinds(
    pictures: Pictures, first: np.ndarray, second: np.ndarray, ours: np.ndarray, theirs: np.ndarray
) -> np.ndarray:
    """The kind of each pair, or -1 if its pictures are not equal where both show the same."""
    kinds = np.full(len(first), -1)
    for row, (one, other) in enumerate(zip(pictures[first], pictures[second], strict=True)):
        for mirrored in (False, True):
            place_in_one = (ours[row, 0], one.shape[1] - 1 - ours[row, 1] if mirrored else ours[row, 1])
            down, right = (int(theirs[row, axis] - place_in_one[axis]) for axis in (0, 1))
            if _equal_if_moved(one[:, ::-1] if mirrored else one, other, down, right):
                kinds[row] = _KINDS.index("mirrored" if mirrored else "shifted" if down or right else "near")
                break
    return kinds


def _equal_if_moved(one: np.ndarray, other: np.ndarray, down: int, right: int) -> bool:
    height, width = one.shape[:2]
    if (height - abs(down)) * (width - abs(right)) < _LEAST_SHARED * height * width:
        return False
    ours = one[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    theirs = other[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
    telling = edges(theirs[None])[0]
    equal = (ours == theirs).all(axis=2)[2:-2, 2:-2]
    return bool(telling.any() and equal[telling].mean() >= _EQUAL)
