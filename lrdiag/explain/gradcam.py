"""Predictions and Grad-CAM of every mistake, in one pass over the test set."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from lrdiag.errors import ModelError
from lrdiag.explain.backends.tensorflow import compile_explainer
from lrdiag.explain.layers import choose_layer, softmax_layer, trace
from lrdiag.records import Heatmaps, LabelledImages, Predictions


class GradCAM:
    """Predicts and, in the same compiled pass, explains what was predicted wrongly.

    The model is neither cloned nor changed. Scores are logits: a softmax at the model's end is taken out while the
    pass is compiled, because its gradient fades where the network is sure.

    Attributes:
        layer: The layer whose feature maps are weighted, or `None` where the network has none.
        unavailable: Why there is no such layer, or `None`.

    Args:
        model: A built Keras model of one input, `(height, width, channels)`, and one output, the classes.
        image_shape: `(height, width, channels)` of the images.
        classes: Number of classes.
        batch_size: Images in one pass.
    """

    def __init__(
        self, model: keras.Model, image_shape: tuple[int, ...], classes: int, *, batch_size: int = 256
    ) -> None:
        steps = trace(model, image_shape)
        self.layer: keras.Layer | None = None
        self.unavailable: str | None = None
        self.batch_size = batch_size
        try:
            self.layer = choose_layer(steps, classes)
        except ModelError as error:
            self.unavailable = str(error)
        self._explain = compile_explainer(model, self.layer, softmax_layer(steps), image_shape)

    def predict_and_explain(
        self, test: LabelledImages, on_batch: Callable[[int], None] | None = None
    ) -> tuple[Predictions, Heatmaps | None]:
        """Predicts every image and explains the misclassified ones.

        Args:
            test: Images and their true classes.
            on_batch: Called with the number of images after each batch.

        Returns:
            The predictions, and the maps of the misclassified images or `None` where the network has no feature map.
        """
        parts = []
        for start in range(0, len(test), self.batch_size):
            batch = slice(start, start + self.batch_size)
            scores, wrong, *maps = (part.numpy() for part in self._explain(test.images[batch], test.labels[batch]))
            parts.append((scores, start + wrong, *maps))
            if on_batch:
                on_batch(len(scores))
        scores, wrong, *maps = (np.concatenate(part) for part in zip(*parts, strict=True))
        predictions = Predictions.from_scores(scores, test.labels)
        return predictions, Heatmaps(self.layer.name, wrong, *maps) if self.layer else None
