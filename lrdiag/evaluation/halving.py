"""Passes over batches that take fewer images at once where the memory does not suffice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from keras import tree

from lrdiag.backend.memory import is_shortage
from lrdiag.explain.engine import Explained


class Passes:
    """Explains batches in pieces. If the memory does not suffice for a piece, this and all later ones are halved.

    Attributes:
        size: Number of images in a piece, at most.

    Args:
        explain: Takes inputs and labels.
        size: Number of images in a piece, at most.
    """

    def __init__(self, explain: Callable[[Any, np.ndarray], Explained], size: int) -> None:
        self._explain = explain
        self.size = self._first_size = size

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence that says so if the pieces were halved."""
        if self.size == self._first_size:
            return ()
        return (
            f"The memory did not suffice to evaluate {self._first_size} images at once. The rest was evaluated with "
            f"{self.size} at once.",
        )

    def over(self, batches: Iterable[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, np.ndarray, Explained]]:
        """Yields inputs, labels and explanations of each piece, in the order of the images."""
        for inputs, labels in batches:
            start = 0
            while start < len(labels):
                size = min(self.size, len(labels) - start)
                piece = _part(inputs, start, size), labels[start : start + size]
                try:
                    explained = self._explain(*piece)
                except Exception as error:
                    if size == 1 or not is_shortage(error):
                        raise
                    self.size = size // 2
                    continue
                yield *piece, explained
                start += size


def _part(inputs: Any, start: int, size: int) -> Any:
    if len(tree.flatten(inputs)[0]) == size:
        return inputs  # a slice of a tensor is a copy
    return tree.map_structure(lambda array: array[start : start + size], inputs)
