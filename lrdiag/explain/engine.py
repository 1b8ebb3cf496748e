"""Grad-CAM in one compiled pass: scores, and maps of the classes that matter."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from lrdiag.backend.tensorflow import compile_explainer
from lrdiag.explain import weighting
from lrdiag.explain.layers import channels_first
from lrdiag.explain.model import OpenedModel

WEIGHTINGS = {"gradcam": weighting.grad_cam, "hirescam": weighting.hires_cam}


class Explained(NamedTuple):
    """A batch, predicted and explained.

    Attributes:
        scores: `float32` array of shape `(n, classes)`.
        wrong: `int64` array of shape `(m,)`: the misclassified images' places in the batch.
        predicted_maps: `float32` array of shape `(m, h, w)`: their maps for the predicted class.
        true_maps: `float32` array of shape `(m, h, w)`: their maps for the true class.
        every_map: `float32` array of shape `(n, h, w)`: every image's map for its predicted class; `None` where a
            method makes only those that were asked for.
    """

    scores: np.ndarray
    wrong: np.ndarray
    predicted_maps: np.ndarray
    true_maps: np.ndarray
    every_map: np.ndarray | None


class Engine:
    """Grad-CAM of one layer.

    Args:
        opened: The model.
        layer: The layer whose feature maps are weighted.
        method: One of `WEIGHTINGS`.
    """

    def __init__(self, opened: OpenedModel, layer: keras.Operation, method: str) -> None:
        formula = WEIGHTINGS[method]
        channel_axis = 1 if channels_first(layer, opened) else -1

        def weigh(features: Any, gradients: Any) -> Any:
            return formula(ops.moveaxis(features, channel_axis, -1), ops.moveaxis(gradients, channel_axis, -1))

        @cache
        def compiled(targets: Callable[[Any, Any], list[Any]]) -> Callable[[Any, Any], tuple[Any, Any]]:
            return compile_explainer(opened, layer, weigh, targets)

        self._compiled = compiled

    def maps(self, inputs: Any, classes: np.ndarray | None) -> np.ndarray:
        """Signed maps of one class for each image, by default the predicted one."""
        targets = _of_the_prediction if classes is None else _of_the_label
        labels = np.zeros(len(keras.tree.flatten(inputs)[0]), np.int64) if classes is None else classes
        _, maps = self._run(targets, inputs, labels)
        return np.asarray(maps[0])

    def explain_mistakes(self, inputs: Any, labels: np.ndarray) -> Explained:
        """Scores of every image, and signed maps of the misclassified."""
        scores, (predicted_maps, true_maps) = self._run(_of_both, inputs, labels)
        wrong = np.flatnonzero(predicted_classes(scores, np) != labels)
        return Explained(scores, wrong, predicted_maps[wrong], true_maps[wrong], predicted_maps)

    def _run(self, targets: Any, inputs: Any, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores, maps = self._compiled(targets)(inputs, labels)
        return ops.convert_to_numpy(scores), ops.convert_to_numpy(maps)


def predicted_classes(scores: Any, library: Any = ops) -> Any:
    """The class of the highest score in each row; a row that holds a NaN counts as class 0, as in `Predictions`.

    Args:
        scores: Of shape `(n, classes)`.
        library: `keras.ops` for tensors, or NumPy for arrays, with which it takes a fortieth of the time.
    """
    broken = library.any(library.isnan(scores), axis=1)
    return library.where(broken, 0, library.argmax(scores, axis=1))


def _of_the_prediction(scores: Any, _labels: Any) -> list[Any]:
    return [_score_of(scores, predicted_classes(scores))]


def _of_the_label(scores: Any, labels: Any) -> list[Any]:
    return [_score_of(scores, labels)]


def _of_both(scores: Any, labels: Any) -> list[Any]:
    return [_score_of(scores, predicted_classes(scores)), _score_of(scores, labels)]


def _score_of(scores: Any, classes: Any) -> Any:
    return ops.take_along_axis(scores, ops.expand_dims(classes, 1), axis=1)[:, 0]
