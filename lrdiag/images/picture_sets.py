"""Pictures of several sets, counted through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lrdiag.record.pictures import all_scaled_down

_BLOCK = 256


class PictureSets:
    """Gives access to the pictures of sets without copying them.

    Args:
        sets: `uint8` arrays of shape `(n, height, width, channels)`, with the same number of channels.
    """

    def __init__(self, sets: Sequence[np.ndarray]) -> None:
        self._sets = sets
        self._starts = np.cumsum([0, *(len(each) for each in sets)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def smallest_side(self) -> int:
        """The smallest height or width of all sets, in pixels."""
        return min(int(side) for each in self._sets for side in each.shape[1:3])

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields all pictures, some hundred at a time, and their numbers."""
        for first, each in zip(self._starts.tolist(), self._sets, strict=False):
            for start in range(0, len(each), _BLOCK):
                block = each[start : start + _BLOCK]
                yield slice(first + start, first + start + len(block)), block

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        """Returns some pictures, scaled to the size of the first set."""
        shape = self._sets[0].shape[1:]
        taken = np.empty((len(numbers), *shape), np.uint8)
        place = np.searchsorted(self._starts, numbers, side="right") - 1
        for number, each in enumerate(self._sets):
            chosen = place == number
            found = each[numbers[chosen] - self._starts[number]]
            taken[chosen] = found if found.shape[1:] == shape else all_scaled_down(found, *shape[:2])
        return taken


def parts(size: int, most: int = 1024) -> Iterator[slice]:
    """Yields slices of `most` places that cover all from 0 to `size - 1`."""
    for start in range(0, size, most):
        yield slice(start, min(start + most, size))
