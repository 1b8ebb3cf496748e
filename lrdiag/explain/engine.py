"""Scores of every image, and the maps of one of the methods for the predicted and the true class."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from keras import ops, tree

from lrdiag.backend.engine import engine
from lrdiag.data.inputs import slices
from lrdiag.explain.model import OpenedModel

PREDICTED = -1
"""Stands for the predicted class where a class is expected."""
_AT_ONCE = 32  # misclassified images: an engine may compile for each number of images, and then for few of them


class Explained(NamedTuple):
    """The scores and maps of one batch.

    Attributes:
        scores: `float32` array of shape `(n, classes)`.
        wrong: `int64` array of shape `(m,)`: the positions of the misclassified images in the batch.
        predicted_maps: `float32` array of shape `(m, h, w)`: their signed maps for the predicted class.
        true_maps: `float32` array of shape `(m, h, w)`: their signed maps for the true class.
        every_map: `float32` array of shape `(n, h, w)`: the signed map of every image for its predicted class, or
            `None` if the method explains misclassified images only.
        features: `float32` array of shape `(n, d)`: the features of every image, see
            `OpenedModel.scores_and_features`; `d` is 0 if the method does not return them.
    """

    scores: np.ndarray
    wrong: np.ndarray
    predicted_maps: np.ndarray
    true_maps: np.ndarray
    every_map: np.ndarray | None
    features: np.ndarray


class Explanation(NamedTuple):
    """What a method returns for a batch.

    Attributes:
        scores: `float32` array of shape `(n, classes)`.
        maps: `float32` array of shape `(n, k, h, w)`.
        features: `float32` array of shape `(n, d)`, or of no features.
    """

    scores: np.ndarray
    maps: np.ndarray
    features: np.ndarray

    @classmethod
    def without_features(cls, scores: np.ndarray, maps: np.ndarray) -> Explanation:
        """Scores and maps alone."""
        return cls(scores, maps, scores[:, :0])


class Method(Protocol):
    """How maps are made.

    Attributes:
        in_one_pass: Whether every image is explained, in the pass that scores it. Otherwise the misclassified images
            are, in further passes.
    """

    in_one_pass: bool

    def explain(self, inputs: Any, classes: np.ndarray) -> Explanation:
        """Scores of some images, and their maps for some classes.

        Args:
            inputs: The model's input for `n` images.
            classes: Integers of shape `(n, k)`: classes, or `PREDICTED`.
        """
        ...


class Engine:
    """Applies a method to batches. The maps of several pictures are stacked along the height.

    Args:
        opened: The model.
        method: The method.
    """

    def __init__(self, opened: OpenedModel, method: Method) -> None:
        self._method = method
        self._scores = engine().compiled(opened, opened.model)
        self._sizes: dict[str, tuple[int, ...]] = {}

    def scores(self, inputs: Any) -> np.ndarray:
        """Scores of shape `(n, classes)`, from the pass of `explain_mistakes`: compiling another one takes seconds."""
        if not self._method.in_one_pass:
            return np.asarray(ops.convert_to_numpy(self._scores(inputs)))
        return self._method.explain(inputs, np.full((_count(inputs), 2), PREDICTED)).scores

    def maps(self, inputs: Any, classes: np.ndarray | None) -> np.ndarray:
        """Signed maps of one class for each image, by default the predicted class."""
        if classes is None:
            classes = np.full(_count(inputs), PREDICTED)
        return self._method.explain(inputs, classes[:, np.newaxis]).maps[:, 0]

    def explain_mistakes(self, inputs: Any, labels: np.ndarray) -> Explained:
        """Scores of every image, and signed maps of the misclassified images."""
        labels = np.asarray(labels, np.int64)
        if self._method.in_one_pass:
            both = np.stack([np.full_like(labels, PREDICTED), labels], axis=1)
            scores, maps, features = self._method.explain(inputs, both)
            wrong = np.flatnonzero(predicted_classes(scores, np) != labels)
            return Explained(scores, wrong, maps[wrong, 0], maps[wrong, 1], maps[:, 0], features)
        scores = self.scores(inputs)
        predicted = predicted_classes(scores, np)
        wrong = np.flatnonzero(predicted != labels)
        maps = self._maps_of(inputs, wrong, np.stack([predicted, labels], axis=1))
        return Explained(scores, wrong, maps[:, 0], maps[:, 1], None, scores[:, :0])

    def _maps_of(self, inputs: Any, chosen: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Maps of some images of a batch, of shape `(m, k, h, w)`."""
        shape = repr(tree.map_structure(lambda array: tuple(array.shape[1:]), inputs))
        if not len(chosen) and shape in self._sizes:
            return np.empty((0, *self._sizes[shape]), np.float32)
        several = chosen if len(chosen) else np.arange(1)  # one image, to know the size of its maps
        mistakes = tree.map_structure(lambda array: ops.convert_to_numpy(array)[several], inputs)
        groups = slices((mistakes, classes[several]), _AT_ONCE)
        maps = np.concatenate([self._method.explain(*group).maps for group in groups])
        self._sizes[shape] = maps.shape[1:]
        return maps[: len(chosen)]


def predicted_classes(scores: Any, library: Any = ops) -> Any:
    """The class with the highest score in each row; class 0 for a row with a NaN, as in `Predictions`.

    Args:
        scores: Of shape `(n, classes)`.
        library: `keras.ops` for tensors, or NumPy, which is 40 times as fast for arrays.
    """
    broken = library.any(library.isnan(scores), axis=1)
    return library.where(broken, 0, library.argmax(scores, axis=1))


def with_predicted(classes: Any, scores: Any, library: Any = ops) -> Any:
    """The classes, of shape `(n, k)`, with the predicted class in place of `PREDICTED`."""
    predicted = library.expand_dims(predicted_classes(scores, library), 1)
    return library.where(classes == PREDICTED, predicted, classes)


def scores_of(scores: Any, classes: Any) -> list[Any]:
    """The scores of `k` classes of each image, a list of tensors of shape `(n,)`, from classes of shape `(n, k)`."""
    chosen = ops.take_along_axis(scores, with_predicted(classes, scores), axis=1)
    return [chosen[:, place] for place in range(classes.shape[1])]


def _count(inputs: Any) -> int:
    return len(tree.flatten(inputs)[0])
