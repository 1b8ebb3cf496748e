"""Grad-CAM in one compiled pass: the scores of every image, and maps for the predicted and the true class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from lrdiag.backend.compiler import Delta, compiled, with_gradients
from lrdiag.backend.tap import tapped
from lrdiag.errors import ModelError
from lrdiag.explain import weighting
from lrdiag.explain.layers import channels_first
from lrdiag.explain.model import OpenedModel

WEIGHTINGS = {"gradcam": weighting.grad_cam, "hirescam": weighting.hires_cam}


class Explained(NamedTuple):
    """The scores and maps of one batch.

    Attributes:
        scores: `float32` array of shape `(n, classes)`.
        wrong: `int64` array of shape `(m,)`: the positions of the misclassified images in the batch.
        predicted_maps: `float32` array of shape `(m, h, w)`: their signed maps for the predicted class.
        true_maps: `float32` array of shape `(m, h, w)`: their signed maps for the true class.
        every_map: `float32` array of shape `(n, h, w)`: the signed map of every image for its predicted class, or
            `None` if the method explains misclassified images only.
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
        self._opened, self._layer = opened, layer
        self._weigh = WEIGHTINGS[method]
        self._channel_axis = 1 if channels_first(layer, opened) else -1
        self._explain_predicted = compiled(lambda inputs: self._explain(inputs, _predicted))
        self._explain_labels = compiled(
            lambda inputs, labels: self._explain(inputs, lambda scores: [_score_of(scores, labels)])
        )
        self._explain_both = compiled(
            lambda inputs, labels: self._explain(
                inputs, lambda scores: [*_predicted(scores), _score_of(scores, labels)]
            )
        )

    def maps(self, inputs: Any, classes: np.ndarray | None) -> np.ndarray:
        """Signed maps of one class for each image, by default the predicted class."""
        explained = self._explain_predicted(inputs) if classes is None else self._explain_labels(inputs, classes)
        return np.asarray(ops.convert_to_numpy(explained[1])[0])

    def explain_mistakes(self, inputs: Any, labels: np.ndarray) -> Explained:
        """Scores of every image, and signed maps of the misclassified images."""
        scores, maps = map(ops.convert_to_numpy, self._explain_both(inputs, labels))
        predicted_maps, true_maps = maps
        wrong = np.flatnonzero(predicted_classes(scores, np) != labels)
        return Explained(scores, wrong, predicted_maps[wrong], true_maps[wrong], predicted_maps)

    def _explain(self, inputs: Any, targets: Callable[[Any], list[Any]]) -> tuple[Any, Any]:
        """Returns scores `(n, classes)` and the signed map of each target, `(targets, n, h, w)`."""
        forward = forward_of(self._opened, self._layer)
        scores, features, gradients = with_gradients(forward, inputs, targets)
        return scores, ops.stack([self._map(features, of_target) for of_target in gradients])

    def _map(self, features: list[Any], gradients: list[Any]) -> Any:
        call = last_call(gradients, self._layer)
        channels_last = (ops.moveaxis(each[call], self._channel_axis, -1) for each in (features, gradients))
        return self._weigh(*channels_last)


def forward_of(
    scores_of: Callable[[Any], Any], layer: keras.Operation
) -> Callable[[Any, Delta], tuple[Any, list[Any]]]:
    """The model as a function `(inputs, delta) -> (scores, features)`; `delta` is added to what `layer` returns.

    Args:
        scores_of: Takes inputs and returns scores of shape `(n, classes)`; it calls `layer`.
        layer: The layer to explain.
    """

    def forward(inputs: Any, delta: Delta) -> tuple[Any, list[Any]]:
        features: list[Any] = []

        def add_delta(output: Any) -> Any:
            features.append(output)
            return output + delta(output)

        with tapped(layer, add_delta):
            return scores_of(inputs), features

    return forward


def last_call(gradients: Sequence[Any], layer: keras.Operation) -> int:
    """The layer's last call that the scores depend on, as an index into `gradients`.

    Raises:
        ModelError: If no gradient flows from the scores to the layer.
    """
    reached = [call for call, gradient in enumerate(gradients) if gradient is not None]
    if not reached:
        raise ModelError(
            f"No gradient flows from the scores to the layer {layer.name!r}. Explain a layer after the operation that "
            "stops it, such as `stop_gradient` or rounding."
        )
    return reached[-1]


def predicted_classes(scores: Any, library: Any = ops) -> Any:
    """The class with the highest score in each row; class 0 for a row with a NaN, as in `Predictions`.

    Args:
        scores: Of shape `(n, classes)`.
        library: `keras.ops` for tensors, or NumPy, which is 40 times as fast for arrays.
    """
    broken = library.any(library.isnan(scores), axis=1)
    return library.where(broken, 0, library.argmax(scores, axis=1))


def _predicted(scores: Any) -> list[Any]:
    return [_score_of(scores, predicted_classes(scores))]


def _score_of(scores: Any, classes: Any) -> Any:
    return ops.take_along_axis(scores, ops.expand_dims(classes, 1), axis=1)[:, 0]
