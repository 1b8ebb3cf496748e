"""Collects the batches of one pass into predictions and heatmaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lrdiag.errors import DataError
from lrdiag.explain.engine import Explained
from lrdiag.explain.means import RunningMeans
from lrdiag.explain.model import OpenedModel
from lrdiag.record.arrays import Heatmaps, Predictions


class Collector:
    """Keeps the scores of every image, and the maps of the misclassified images."""

    def __init__(self) -> None:
        self._labels: list[np.ndarray] = []
        self._batches: list[Explained] = []
        self._means = RunningMeans()
        self._size = 0

    def add(self, batch: Explained, labels: np.ndarray) -> None:
        """Adds a batch and its true classes, integers of shape `(n,)`.

        Raises:
            DataError: If its maps have another size than those before.
        """
        self._means.add(batch, labels)
        self._labels.append(labels)
        no_features = batch.features[:, :0]
        self._batches.append(batch._replace(wrong=self._size + batch.wrong, every_map=None, features=no_features))
        self._size += len(labels)

    def predictions(self, opened: OpenedModel) -> Predictions:
        """The predictions of every image."""
        scores = np.concatenate([batch.scores for batch in self._batches])
        return opened.predictions(scores, np.concatenate(self._labels))

    def heatmaps(self, method: str, layer: str) -> Heatmaps:
        """The maps of the misclassified images.

        Raises:
            DataError: If the images have different sizes.
        """
        return Heatmaps(
            method=method,
            layer=layer,
            indices=np.concatenate([batch.wrong for batch in self._batches]),
            signed_predicted=joined([batch.predicted_maps for batch in self._batches]),
            signed_true=joined([batch.true_maps for batch in self._batches]),
            means=self._means.result(),
        )


def joined(maps: Sequence[np.ndarray]) -> np.ndarray:
    """The maps of several batches in one array.

    Raises:
        DataError: If they have different sizes.
    """
    shapes = {part.shape[1:] for part in maps}
    if len(shapes) > 1:
        raise DataError(
            "All images must have one size, because maps are kept in one array. Resize the images, or explain each "
            f"size separately. Received: images whose maps have the shapes {', '.join(map(str, sorted(shapes)))}"
        )
    return np.concatenate(maps)
