"""Predictions without heatmaps."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from lrdiag.backend.engine import engine
from lrdiag.data.inputs import labelled_batches, pieces, slices
from lrdiag.explain.engine import Explained, predicted_classes
from lrdiag.explain.model import OpenedModel
from lrdiag.record.arrays import Predictions


class Predictor:
    """The scores of a model in inference mode, in one compiled pass.

    Attributes:
        opened: The model.
        batch_size: Number of images in one pass.
    """

    def __init__(self, opened: OpenedModel, batch_size: int) -> None:
        self.opened, self.batch_size = opened, batch_size
        self._scores = engine().compiled(opened, opened.model)

    def scores(self, images: Any) -> np.ndarray:
        """Scores whose softmax is the probability of each class, a `float64` array of shape `(n, classes)`."""
        parts = [ops.convert_to_numpy(self._scores(batch)) for batch in slices(images, self.batch_size)]
        return self.opened.logits(np.concatenate(parts))

    def predict(self, x: Any, y: Any = None) -> Predictions:
        """Predicts every image; arguments and errors are those of `GradCAM.predict_and_explain`."""
        labels, scores = [], []
        for images, given in pieces(labelled_batches(x, y, self.batch_size), self.batch_size):
            classes = self.opened.indices_of(given)
            labels.append(classes)
            scores.append(self.explain(images, classes).scores)
        return self.opened.predictions(np.concatenate(scores), np.concatenate(labels))

    def explain(self, images: Any, labels: np.ndarray) -> Explained:
        """One batch as `GradCAM.explain` returns it, with maps of no pixels.

        Raises:
            DataError: If the model does not score one of the classes.
        """
        self.opened.refuse_unknown_classes(labels)
        scores = ops.convert_to_numpy(self._scores(images))
        wrong = np.flatnonzero(predicted_classes(scores, np) != labels)
        no_maps = np.empty((len(wrong), 0, 0), np.float32)
        return Explained(scores, wrong, no_maps, no_maps, None)
