"""Predictions without heatmaps."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from lrdiag.backend.engine import engine
from lrdiag.data.inputs import slices
from lrdiag.explain.engine import Explained, predicted_classes
from lrdiag.explain.model import OpenedModel


class Predictor:
    """The scores and features of a model in inference mode, in one compiled pass.

    Attributes:
        opened: The model.
        batch_size: Number of images in one pass.
    """

    def __init__(self, opened: OpenedModel, batch_size: int) -> None:
        self.opened, self.batch_size = opened, batch_size
        self._run = engine().compiled(opened.scores_and_features, opened.model)

    def scores(self, images: Any) -> np.ndarray:
        """Scores whose softmax is the probability of each class, a `float64` array of shape `(n, classes)`."""
        parts = [ops.convert_to_numpy(self._run(batch)[0]) for batch in slices(images, self.batch_size)]
        return self.opened.logits(np.concatenate(parts))

    def explain(self, images: Any, labels: np.ndarray) -> Explained:
        """One batch as `GradCAM.explain` returns it, with maps of no pixels.

        Raises:
            DataError: If the model does not score one of the classes.
        """
        self.opened.refuse_unknown_classes(labels)
        scores, features = map(ops.convert_to_numpy, self._run(images))
        wrong = np.flatnonzero(predicted_classes(scores, np) != labels)
        no_maps = np.empty((len(wrong), 0, 0), np.float32)
        return Explained(scores, wrong, no_maps, no_maps, None, features)
