"""Mean heatmaps per class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lrdiag.errors import DataError
from lrdiag.explain.engine import Explained
from lrdiag.record.arrays import MeanHeatmaps


class RunningMeans:
    """Accumulates the mean map of each true class, separately for correct and misclassified images.

    Each map is divided by its peak first, so that every image has the same weight.
    """

    def __init__(self) -> None:
        self._sums: np.ndarray | None = None
        self._counts: np.ndarray | None = None

    def add(self, batch: Explained, labels: np.ndarray) -> None:
        """Adds a batch with the true classes `labels`, of shape `(n,)`; ignores batches without every map.

        Raises:
            DataError: If the maps have another size than those before.
        """
        if batch.every_map is None:
            return
        maps = np.maximum(batch.every_map, 0)
        if self._sums is None or self._counts is None:
            classes = batch.scores.shape[1]
            self._sums, self._counts = np.zeros((2, classes, *maps.shape[1:])), np.zeros((2, classes, 1, 1))
        if maps.shape[1:] != self._sums.shape[2:]:
            raise DataError(
                "All images must have one size, because maps are kept in one array. Resize the images, or explain "
                f"each size separately. Received: maps of the shapes {self._sums.shape[2:]} and {maps.shape[1:]}"
            )
        peaks = maps.max(axis=(1, 2), keepdims=True)
        missed = np.isin(np.arange(len(labels)), batch.wrong).astype(np.int64)
        scaled = np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0)
        # Not a product of matrices: NumPy's BLAS threads wait busily after one, and the next pass lacks their cores.
        np.add.at(self._sums, (missed, labels), scaled)
        np.add.at(self._counts, (missed, labels), 1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the sums so far as `join` takes them."""
        return {} if self._sums is None or self._counts is None else {"sums": self._sums, "counts": self._counts}

    def join(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Adds the sums of another pass."""
        if self._sums is None or self._counts is None:
            self._sums, self._counts = arrays.get("sums"), arrays.get("counts")
        elif arrays:
            self._sums, self._counts = self._sums + arrays["sums"], self._counts + arrays["counts"]

    def result(self) -> MeanHeatmaps | None:
        """The means, with zeros for a class without such images; `None` if nothing was added."""
        if self._sums is None or self._counts is None:
            return None
        right, wrong = (self._sums / np.maximum(self._counts, 1)).astype(np.float32)
        return MeanHeatmaps(right, wrong)
