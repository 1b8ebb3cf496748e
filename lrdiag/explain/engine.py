"""Grad-CAM in one compiled pass: the scores of every image, and maps for the predicted and the true class."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from lrdiag.backend.compiler import compiled, with_gradients
from lrdiag.explain import weighting
from lrdiag.explain.grids import grid_of
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.paths import forward_of
from lrdiag.explain.plan import Plan, no_gradient
from lrdiag.explain.tokens import held_constant_in

WEIGHTINGS = {"gradcam": weighting.grad_cam, "hirescam": weighting.hires_cam}
WEIGHTINGS_OF_TOKENS = {"gradcam": weighting.from_mean_token, "hirescam": weighting.hires_cam}


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
    """Grad-CAM of some layers. The maps of several pictures are stacked along the height.

    Args:
        opened: The model.
        plan: The layers whose feature maps are weighted, and the pictures that the maps belong to.
        method: One of `WEIGHTINGS`.
    """

    def __init__(self, opened: OpenedModel, plan: Plan, method: str) -> None:
        self._opened, self._plan = opened, plan
        self._weigh = (WEIGHTINGS_OF_TOKENS if plan.of_tokens else WEIGHTINGS)[method]
        self._held = held_constant_in(opened) if plan.of_tokens else nullcontext
        self._grids = [grid_of(layer, opened) for layer in plan.called]
        self._explain_predicted = compiled(lambda inputs: self._explain(inputs, _predicted), opened.model)
        self._explain_labels = compiled(
            lambda inputs, labels: self._explain(inputs, lambda scores: [_score_of(scores, labels)]), opened.model
        )
        self._explain_both = compiled(
            lambda inputs, labels: self._explain(
                inputs, lambda scores: [*_predicted(scores), _score_of(scores, labels)]
            ),
            opened.model,
        )

    def maps(self, inputs: Any, classes: np.ndarray | None) -> np.ndarray:
        """Signed maps of one class for each image, by default the predicted class."""
        explained = self._explain_predicted(inputs) if classes is None else self._explain_labels(inputs, classes)
        return np.asarray(ops.convert_to_numpy(explained[1])[:, 0])

    def explain_mistakes(self, inputs: Any, labels: np.ndarray) -> Explained:
        """Scores of every image, and signed maps of the misclassified images."""
        scores, maps = map(ops.convert_to_numpy, self._explain_both(inputs, labels))
        predicted_maps, true_maps = maps[:, 0], maps[:, 1]
        wrong = np.flatnonzero(predicted_classes(scores, np) != labels)
        return Explained(scores, wrong, predicted_maps[wrong], true_maps[wrong], predicted_maps)

    def _explain(self, inputs: Any, targets: Callable[[Any], list[Any]]) -> tuple[Any, Any]:
        """Returns scores `(n, classes)` and the signed map of each target, `(n, targets, h, w)`."""
        forward = forward_of(self._opened, self._plan.layers)
        with self._held():
            scores, features, gradients = with_gradients(forward, inputs, targets)
        return scores, ops.stack([self._map(features, of_target) for of_target in gradients], axis=1)

    def _map(self, features: list[Any], gradients: list[Any]) -> Any:
        of_call = {}
        for call in {call for each in self._plan.maps for call in each.calls}:
            if gradients[call] is None:
                raise no_gradient(self._plan.layers)
            of_call[call] = self._weigh(*(self._grids[call](each[call]) for each in (features, gradients)))
        size = np.max([each.shape[1:] for each in of_call.values()], axis=0) if len(of_call) > 1 else None
        maps = [sum(_enlarged(of_call[call], size) for call in each.calls) for each in self._plan.maps]
        return ops.concatenate(maps, axis=1) if len(maps) > 1 else maps[0]


def _enlarged(maps: Any, size: np.ndarray | None) -> Any:
    """The maps at another size, as parts of the same score: more positions have lower values."""
    if size is None or tuple(maps.shape[1:]) == tuple(size):
        return maps
    share = np.prod(maps.shape[1:]) / np.prod(size)
    return share * ops.image.resize(maps[..., np.newaxis], tuple(size.tolist()), "bilinear")[..., 0]


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
