"""Builds the table of the images of a set while they are evaluated."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np

from lrdiag.images.choosing import draws
from lrdiag.images.statistics import statistics_of
from lrdiag.record.arrays import Predictions
from lrdiag.record.image_table import ImageStatistics, ImageTable, Part
from lrdiag.record.pictures import LARGEST_SIDE, all_scaled_down, shrunk

MOST_TEST_IMAGES = 100_000
INPUTS: dict[Part, int] = {"test": 1_000, "train": 2_000}
"""Number of images whose inputs are kept."""
_SMALLEST_SIDE = 32
_PICTURES = 2**28  # bytes of all pictures
_INPUTS = 2**27  # bytes of all inputs
_SEED = 0


class TableBuilder:
    """Keeps one row for each image, or for a random sample of them.

    Args:
        part: Which set it is.
        most: Number of rows at most.
    """

    def __init__(self, part: Part, most: int) -> None:
        self._part, self._most = part, most
        self._rows = _Sample(most, _SEED)
        self._inputs = _Sample(INPUTS[part], _SEED + 1)
        self._keeps_inputs = True
        self._size, self._side = 0, LARGEST_SIDE

    def add(self, pictures: np.ndarray, inputs: Any, features: np.ndarray) -> None:
        """Adds a batch.

        Args:
            pictures: `uint8` of shape `(n, height, width, channels)`.
            inputs: What the model received, a nest of arrays.
            features: Of shape `(n, d)`; `d` is 0 without features.
        """
        places = np.arange(self._size, self._size + len(pictures))
        self._size += len(pictures)
        kept = self._rows.wanted(places)
        if len(kept):
            chosen = pictures[kept]
            columns = {"pictures": _scaled(chosen, self._side), "features": features[kept].astype(np.float16)}
            self._rows.add(places[kept], columns | vars(statistics_of(chosen)))
        self._shrink()
        self._keep_inputs(places, inputs, pictures.shape)

    def table(self, predictions: Predictions) -> ImageTable:
        """Returns the table. `predictions` are those for all images that were added."""
        indices, rows = self._rows.result()
        if len(indices) < self._size:
            predictions = predictions.take(indices)
        input_places, inputs = self._inputs.result() if self._keeps_inputs else (indices[:0], {})
        is_row = np.isin(input_places, indices)
        return ImageTable(
            part=self._part,
            size=self._size,
            indices=indices,
            predictions=predictions,
            pictures=rows["pictures"],
            statistics=ImageStatistics(**{each.name: rows[each.name] for each in fields(ImageStatistics)}),
            features=rows["features"] if rows["features"].shape[1] else None,
            files=(),
            inputs=inputs["inputs"][is_row] if inputs else None,
            input_rows=np.searchsorted(indices, input_places[is_row]),
        )

    def _shrink(self) -> None:
        """Scales all pictures down if they take too much memory."""
        while self._side > _SMALLEST_SIDE and self._rows.bytes_of("pictures") > _PICTURES:
            self._side = max(_SMALLEST_SIDE, int(self._side / math.sqrt(2)))
            self._rows.change("pictures", lambda pictures: _scaled(pictures, self._side))

    def _keep_inputs(self, places: np.ndarray, inputs: Any, shape: tuple[int, ...]) -> None:
        is_image = isinstance(inputs, np.ndarray) and inputs.shape == shape
        self._keeps_inputs &= is_image
        if not self._keeps_inputs:
            return
        self._inputs.most = min(self._inputs.most, max(1, _INPUTS // inputs[0].nbytes))
        kept = self._inputs.wanted(places)
        self._inputs.add(places[kept], {"inputs": inputs[kept]})


class _Sample:
    """A random sample of rows: those with the lowest draws so far.

    Args:
        most: Number of rows at most.
        seed: Random seed.
    """

    def __init__(self, most: int, seed: int) -> None:
        self.most, self._seed = most, seed
        self._places: list[np.ndarray] = []
        self._columns: dict[str, list[np.ndarray]] = {}
        self._bound, self._count = 1.0, 0

    def wanted(self, places: np.ndarray) -> np.ndarray:
        """Returns the positions of those that may belong to the sample."""
        return np.flatnonzero(draws(self._seed, places) < self._bound)

    def add(self, places: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        """Adds rows. The sample is reduced when it is twice as large as it should be."""
        self._places.append(places)
        self._count += len(places)
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(values)
        if self._count > 2 * self.most:
            self._reduce()

    def result(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Returns the places of the rows, ascending, and their columns."""
        self._reduce()
        return self._places[0], {name: parts[0] for name, parts in self._columns.items()}

    def bytes_of(self, name: str) -> int:
        """Returns the memory that a column takes."""
        return sum(part.nbytes for part in self._columns[name])

    def change(self, name: str, function: Any) -> None:
        """Replaces the parts of a column."""
        self._columns[name] = [function(part) for part in self._columns[name]]

    def _reduce(self) -> None:
        places = np.concatenate(self._places)
        kept = np.arange(len(places))
        if len(places) > self.most:
            numbers = draws(self._seed, places)
            kept = np.sort(np.argpartition(numbers, self.most)[: self.most])
            self._bound = float(numbers[kept].max())
        self._places, self._count = [places[kept]], len(kept)
        for parts in self._columns.values():
            joined = np.concatenate(parts) if len(parts) > 1 else parts[0]
            parts[:] = [joined if len(kept) == len(joined) else joined[kept]]


def _scaled(pictures: np.ndarray, side: int) -> np.ndarray:
    return all_scaled_down(pictures, *shrunk(pictures.shape[1], pictures.shape[2], side))
