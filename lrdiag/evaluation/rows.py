"""Keeps a limited number of rows of a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

_SLACK = 1.25  # of the rows that are kept, before others are dropped


class LowestRows:
    """Keeps the rows with the lowest keys, in the order of their places. Equal keys keep those of the lowest places.

    The rows may be added in any number of parts, and the parts of several passes can be joined: the result is the same.

    Example:
        >>> rows = LowestRows(2)
        >>> for place, key in enumerate([0.7, 0.1, 0.5]):
        ...     rows.add(np.array([place]), np.array([key]), {"name": np.array([f"row {place}"])})
        >>> places, columns = rows.result()
        >>> places.tolist(), columns["name"].tolist()
        ([1, 2], ['row 1', 'row 2'])

    Attributes:
        most: Number of rows at most.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._places: list[np.ndarray] = []
        self._keys: list[np.ndarray] = []
        self._columns: dict[str, list[np.ndarray]] = {}
        self._bound, self._count = np.inf, 0

    def wanted(self, keys: np.ndarray) -> np.ndarray:
        """Returns the positions of the keys whose rows may be kept."""
        return np.flatnonzero(keys <= self._bound)

    def add(self, places: np.ndarray, keys: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Adds rows. `places` are higher than those before."""
        self._places.append(places)
        self._keys.append(keys)
        self._count += len(places)
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(values)
        if self._count > _SLACK * self.most:
            self._drop()

    def result(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Returns the places of the rows, ascending, and their columns. At least one part must have been added."""
        self._drop()
        return self._places[0], {name: parts[0] for name, parts in self._columns.items()}

    def bytes_of(self, name: str) -> int:
        """Returns the memory that a column takes."""
        return sum(part.nbytes for part in self._columns.get(name, ()))

    def change(self, name: str, function: Callable[[np.ndarray], np.ndarray]) -> None:
        """Replaces the parts of a column."""
        self._columns[name] = [function(part) for part in self._columns.get(name, ())]

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the rows as `join` takes them."""
        if not self._places:
            return {}
        places, columns = self.result()
        return {"places": places, "keys": self._keys[0], **{f"column.{name}": each for name, each in columns.items()}}

    def join(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Adds the rows of a later pass."""
        if arrays:
            self.add(arrays["places"], arrays["keys"], arrays_of("column", arrays))

    def _drop(self) -> None:
        places, keys = np.concatenate(self._places), np.concatenate(self._keys)
        kept = np.arange(len(places))
        if len(places) > self.most:
            kept = np.sort(np.lexsort((places, keys))[: self.most])
            self._bound = float(keys[kept].max())
        self._places, self._keys, self._count = [places[kept]], [keys[kept]], len(kept)
        for parts in self._columns.values():
            parts[:] = [_taken(parts, kept)]


def arrays_of(kind: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays whose names begin with `kind` and a dot, without both."""
    return {name.removeprefix(f"{kind}."): each for name, each in arrays.items() if name.startswith(f"{kind}.")}


def _taken(parts: list[np.ndarray], kept: np.ndarray) -> np.ndarray:
    """Returns the rows at `kept`, ascending positions in all parts together, without joining the parts first."""
    if len(parts) == 1 and len(parts[0]) == len(kept):
        return parts[0]
    ends = np.cumsum([len(part) for part in parts])
    bounds = [0, *np.searchsorted(kept, ends)]
    taken = np.empty((len(kept), *parts[0].shape[1:]), parts[0].dtype)
    for part, end, first, last in zip(parts, ends, bounds[:-1], bounds[1:], strict=True):
        taken[first:last] = part[kept[first:last] - (end - len(part))]
    return taken
