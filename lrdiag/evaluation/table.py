"""Builds the table of the images of a set while they are evaluated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from lrdiag.evaluation.rows import LowestRows, arrays_of
from lrdiag.images.choosing import draws
from lrdiag.images.statistics import statistics_of
from lrdiag.record.arrays import Predictions
from lrdiag.record.image_table import ImageStatistics, ImageTable, Part
from lrdiag.record.pictures import LARGEST_SIDE, all_scaled_down, shrunk

MOST_TEST_IMAGES = 50_000
"""A test set of so many images has a row for each. Of a larger one, a random sample is kept."""
SAMPLE_OF_MORE = 20_000
"""Rows of a larger set."""
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
        first: Place of the first image that is added.
        sample: Number of rows of a set of more images. Defaults to `most`.
    """

    def __init__(self, part: Part, most: int, first: int = 0, sample: int | None = None) -> None:
        self._part, self._first, self._most, self._sample = part, first, most, sample or most
        self._rows = LowestRows(most)
        self._inputs = LowestRows(INPUTS[part])
        self._keeps_inputs = True
        self._size, self._side = first, LARGEST_SIDE

    def add(self, pictures: np.ndarray, inputs: Any, features: np.ndarray) -> None:
        """Adds a batch.

        Args:
            pictures: `uint8` of shape `(n, height, width, channels)`.
            inputs: What the model received, a nest of arrays.
            features: Of shape `(n, d)`; `d` is 0 without features.
        """
        places = np.arange(self._size, self._size + len(pictures))
        self._size += len(pictures)
        self._limit()
        keys = draws(_SEED, places)
        kept = self._rows.wanted(keys)
        if len(kept):
            chosen = pictures[kept]
            columns = {"pictures": _scaled(chosen, self._side), "features": features[kept].astype(np.float16)}
            self._rows.add(places[kept], keys[kept], columns | vars(statistics_of(chosen)))
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

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the rows so far as `join` takes them."""
        parts = {"rows": self._rows.arrays(), "inputs": self._inputs.arrays() if self._keeps_inputs else {}}
        named = {f"{kind}.{name}": each for kind, arrays in parts.items() for name, each in arrays.items()}
        return named | {"end.places": np.array([self._size]), "state": np.array([self._side, self._keeps_inputs])}

    def join(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Adds the rows of a later pass over the same set."""
        self._size = int(arrays["end.places"][0])
        self._limit()
        side, keeps_inputs = map(int, arrays["state"])
        self._rows.join(arrays_of("rows", arrays))
        self._side = min(side, self._side)
        self._scale()
        self._shrink()
        self._keeps_inputs &= bool(keeps_inputs)
        inputs = arrays_of("inputs", arrays) if self._keeps_inputs else {}
        if inputs:
            self._limit_inputs(inputs["column.inputs"])
        self._inputs.join(inputs)

    def _limit(self) -> None:
        if self._size - self._first > self._most:
            self._rows.most = self._sample

    def _shrink(self) -> None:
        """Scales all pictures down if they take too much memory."""
        while self._side > _SMALLEST_SIDE and self._rows.bytes_of("pictures") > _PICTURES:
            self._side = max(_SMALLEST_SIDE, int(self._side / math.sqrt(2)))
            self._scale()

    def _scale(self) -> None:
        self._rows.change("pictures", lambda pictures: _scaled(pictures, self._side))

    def _keep_inputs(self, places: np.ndarray, inputs: Any, shape: tuple[int, ...]) -> None:
        is_image = isinstance(inputs, np.ndarray) and inputs.shape == shape
        self._keeps_inputs &= is_image
        if not self._keeps_inputs:
            return
        self._limit_inputs(inputs)
        keys = draws(_SEED + 1, places)
        kept = self._inputs.wanted(keys)
        self._inputs.add(places[kept], keys[kept], {"inputs": inputs[kept]})

    def _limit_inputs(self, inputs: np.ndarray) -> None:
        self._inputs.most = min(self._inputs.most, max(1, _INPUTS // inputs[0].nbytes))


def _scaled(pictures: np.ndarray, side: int) -> np.ndarray:
    return all_scaled_down(pictures, *shrunk(pictures.shape[1], pictures.shape[2], side))
