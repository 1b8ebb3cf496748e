"""Fills batches up to a few sizes, for an engine that compiles for each size."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import tree

_FEW = 16  # examples that take hardly longer than one
_MOST_FILLED = 4  # times the size of a batch: compiling for another size takes about as long as a pass or two


class CompiledSizes:
    """The sizes of batch that a function was compiled for.

    Example:
        >>> sizes = CompiledSizes()
        >>> [sizes.for_batch_of(number) for number in (512, 272, 512, 3, 16)]
        [512, 512, 512, 16, 16]
    """

    def __init__(self) -> None:
        self._sizes: set[int] = set()

    def for_batch_of(self, size: int) -> int:
        """Returns the size that a batch is filled up to: one of those, or one that is added to them."""
        fitting = [each for each in self._sizes if size <= each <= max(_FEW, _MOST_FILLED * size)]
        if not fitting:
            is_much_larger = size > 2 * max(self._sizes, default=0)
            fitting = [size if is_much_larger else max(_FEW, 1 << (size - 1).bit_length())]
            self._sizes.add(fitting[0])
        return min(fitting)


def filled_up(arrays: Any, size: int) -> Any:
    """Returns a nest of arrays with copies of their first example at the end, so that each has `size` examples."""

    def filled(array: Any) -> Any:
        missing = size - len(array)
        return np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) if missing else array

    return tree.map_structure(filled, arrays)
