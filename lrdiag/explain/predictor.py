"""Predictions without heatmaps, for models that have no feature map to explain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from lrdiag.backend.tensorflow import compile_scores
from lrdiag.data.inputs import labelled_batches, slices
from lrdiag.explain.engine import Explained, predicted_classes
from lrdiag.explain.model import OpenedModel
from lrdiag.record.arrays import Predictions


class Predictor:
    """What a model says of images, in one compiled pass.

    Args:
        opened: The model.
        batch_size: Images in one pass.
    """

    def __init__(self, opened: OpenedModel, batch_size: int) -> None:
        self._opened = opened
        self._batch_size = batch_size
        self._scores = compile_scores(opened)

    @property
    def returns_probabilities(self) -> bool:
        """Whether the model ends in a softmax or sigmoid."""
        return self._opened.returns_probabilities

    def scores(self, images: Any) -> np.ndarray:
        """Scores, a `float64` array of shape `(n, classes)`, whose softmax is the probability of each class."""
        parts = [ops.convert_to_numpy(self._scores(batch)) for batch in slices(images, self._batch_size)]
        return self._opened.logits(np.concatenate(parts))

    def predict(self, x: Any, y: Any = None, *, on_batch: Callable[[Explained], None] | None = None) -> Predictions:
        """Predicts every image; arguments and errors are those of `GradCAM.predict_and_explain`."""
        labels, scores = [], []
        for images, classes in labelled_batches(x, y, self._batch_size):
            self._opened.refuse_unknown_classes(classes)
            labels.append(classes)
            scores.append(ops.convert_to_numpy(self._scores(images)))
            if on_batch:
                on_batch(_unexplained(scores[-1], classes))
        return Predictions.from_scores(self._opened.logits(np.concatenate(scores)), np.concatenate(labels))


def _unexplained(scores: np.ndarray, labels: np.ndarray) -> Explained:
    wrong = np.flatnonzero(predicted_classes(scores, np) != labels)
    no_maps = np.empty((len(wrong), 0, 0), np.float32)
    return Explained(scores, wrong, no_maps, no_maps, None)
