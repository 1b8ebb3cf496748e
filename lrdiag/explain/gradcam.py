"""Predictions and heatmaps of every mistake, in one pass over the test set."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import keras
import numpy as np
from keras import tree

from lrdiag.backend.graph import example_input
from lrdiag.data.inputs import labelled_batches, slices
from lrdiag.errors import DataError, SettingsError, require_choice, require_count
from lrdiag.explain.engine import WEIGHTINGS, Engine, Explained
from lrdiag.explain.layers import choose_layer, find_layer, path_of
from lrdiag.explain.means import RunningMeans
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.predictor import Predictor
from lrdiag.record.arrays import Heatmaps, Predictions

if TYPE_CHECKING:
    from lrdiag.explain.keras_vis import KerasVisEngine

Method = Literal["gradcam", "hirescam", "gradcam++", "layercam", "scorecam", "saliency", "smoothgrad"]
OF_THE_IMAGE = ("saliency", "smoothgrad")


class GradCAM:
    """Shows where the score of a class comes from, for as many images as there are, in one compiled pass.

    The model is neither cloned nor changed; it may be Functional, Sequential, nested or subclassed, of one input or
    several, in any precision. Scores are logits: a softmax or sigmoid at the model's end is taken out while the pass
    is compiled, because its gradient fades where the network is sure. Layers run as they do in `predict`.

    Example:
        >>> import keras, lrdiag
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="relu", name="features"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> images, labels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), "uint8"), np.arange(6) % 2
        >>> explainer = lrdiag.GradCAM(model)
        >>> explainer.layer
        'features'
        >>> predictions, heatmaps = explainer.predict_and_explain(images, labels)
        >>> (heatmaps.indices == predictions.misclassified).all()
        np.True_
        >>> lrdiag.overlay(images, explainer.maps(images)).shape
        (6, 8, 8, 3)

    Beside Grad-CAM there are six methods more. All but the first two come from the library tf-keras-vis, are slower,
    explain mistakes alone, and have no signed maps: theirs are not below zero.

    - `"gradcam"`: the feature maps of the layer, each weighted by the mean of its gradient.
    - `"hirescam"`: each place of them weighted by its own gradient.
    - `"gradcam++"`: each weighted by a sum of its positive gradients in which small objects count like large ones.
      The maps are divided by the exponential of the score, so that they are finite, however high the score.
    - `"layercam"`: each place weighted by its own gradient where that is positive.
    - `"scorecam"`: each feature map weighted by the probability of the class when the image is masked with it. No
      gradient, but one more image to predict for each channel of the layer.
    - `"saliency"`: the gradient with respect to the image itself: its size, in the channel where it is largest.
    - `"smoothgrad"`: the mean of these sizes over 20 copies of the image with noise, whose standard deviation is a
      fifth of the range of values in the image. The noise is the same for every image and in every run.

    Sources: Selvaraju et al., "Grad-CAM" (2017); Draelos and Carin, "Use HiResCAM instead of Grad-CAM" (2020);
    Chattopadhay et al., "Grad-CAM++" (2018); Jiang et al., "LayerCAM" (2021); Wang et al., "Score-CAM" (2020); Simonyan
    et al., "Deep inside convolutional networks" (2013); Smilkov et al., "SmoothGrad" (2017).

    Attributes:
        layer: The layer whose feature maps are weighted, as a path through nested models: `"backbone/block5"`;
            `"input"` for `"saliency"` and `"smoothgrad"`. `None` until the first images where the model does not say
            what it takes, as a subclassed one.

    Args:
        model: A Keras model of images that returns one score per class.
        layer: The layer to explain: itself, its name or its path. By default the last feature map with spatial
            extent, after its activation. Not for `"saliency"` and `"smoothgrad"`.
        output: Which output, where the model has several: its name or its place.
        method: One of the methods above.
        batch_size: Images in one pass.

    Raises:
        ModelError: If the model has no such layer or output, or none that can serve.
        SettingsError: If `method` is unknown or takes no layer, or `batch_size` is below 1.
    """

    def __init__(
        self,
        model: keras.Model,
        layer: str | keras.Layer | None = None,
        *,
        output: str | int | None = None,
        method: Method = "gradcam",
        batch_size: int = 256,
    ) -> None:
        require_choice("method", method, get_args(Method))
        if method in OF_THE_IMAGE and layer is not None:
            raise SettingsError(f"{method!r} explains the image itself and takes no layer. Received: layer={layer!r}")
        require_count("batch_size", batch_size)
        self.layer: str | None = None
        self._model, self._asked_for, self._output = model, layer, output
        self._method, self._batch_size = method, batch_size
        example = example_input(model)
        if example is not None:
            self._open(example)

    def maps(self, images: Any, classes: Any = None, *, signed: bool = False) -> np.ndarray:
        """Heatmaps of the images, each for one class.

        Args:
            images: An array of shape `(n, height, width, channels)` as the model takes it, `uint8` or float, or a
                nest of arrays where it takes several.
            classes: The class to explain in each image, integers of shape `(n,)`; the predicted ones by default.
            signed: Whether to keep what speaks against the class, as negative values. Signed maps of two classes may
                be subtracted: the difference says why the one and not the other.

        Returns:
            Raw maps, a `float32` array of shape `(n, h, w)` in the resolution of the layer, or of the image where that
            is explained; not rescaled.

        Raises:
            DataError: If there is not one class for each image, or no such class.
            ModelError: If the method cannot take the model.
            SettingsError: If the method has no signed maps.
        """
        if signed and self._method not in WEIGHTINGS:
            raise SettingsError(
                f"Signed maps are made by the methods {' and '.join(WEIGHTINGS)}. Received: signed=True with the "
                f"method {self._method!r}"
            )
        pairs: Any = ((batch, None) for batch in slices(images, self._batch_size))
        if classes is not None:
            pairs = labelled_batches(images, classes, self._batch_size)
        maps = _joined([self._ready(batch, targets).maps(batch, targets) for batch, targets in pairs])
        return maps if signed else np.maximum(maps, 0)

    def predict_and_explain(
        self, x: Any, y: Any = None, *, on_batch: Callable[[Explained], None] | None = None
    ) -> tuple[Predictions, Heatmaps]:
        """Predicts every image and explains those that are misclassified, for the predicted and for the true class.

        It streams: beside the batch, only scores and the small maps of the mistakes are kept.

        Args:
            x: Images as `maps` takes them, or a `tf.data.Dataset`, `keras.utils.PyDataset` or iterable of batches
                `(images, labels)`.
            y: Labels, where `x` is images: class indices `(n,)`, or one row per image.
            on_batch: Called after each batch with what came out of it: `scores`, and which images are `wrong`.

        Returns:
            The predictions, and the maps of the misclassified images.

        Raises:
            DataError: If images or labels are missing, of different number, endless, or of an unknown class.
            ModelError: If the method cannot take the model.
        """
        parts: list[tuple[np.ndarray, ...]] = []
        means, count = RunningMeans(), 0
        for images, labels in labelled_batches(x, y, self._batch_size):
            batch = self._ready(images, labels).explain_mistakes(images, labels)
            parts.append((labels, batch.scores, count + batch.wrong, batch.predicted_maps, batch.true_maps))
            means.add(batch, labels)
            count += len(labels)
            if on_batch:
                on_batch(batch)
        labels, scores, wrong, predicted_maps, true_maps = (_joined(part) for part in zip(*parts, strict=True))
        return Predictions.from_scores(self._opened.logits(scores), labels), Heatmaps(
            method=self._method,
            layer=str(self.layer),
            indices=wrong,
            signed_predicted=predicted_maps,
            signed_true=true_maps,
            means=means.result(),
        )

    @cached_property
    def predictor(self) -> Predictor:
        """The same model without explanations; after the first images, or where the model tells of them."""
        return Predictor(self._opened, self._batch_size)

    def _ready(self, images: Any, classes: np.ndarray | None) -> Engine | KerasVisEngine:
        """The engine, made from the first images where the model did not say what it takes."""
        if self.layer is None:
            self._open(tree.map_structure(lambda array: array[:1], images))
        if classes is not None:
            self._opened.refuse_unknown_classes(classes)
        return self._engine

    def _open(self, example: Any) -> None:
        self._opened = OpenedModel(self._model, example, self._output)
        layer = None if self._method in OF_THE_IMAGE else self._layer()
        if self._opened.is_closed:
            warnings.warn(
                "The model returns probabilities that no layer of it makes, so its heatmaps explain the probability, "
                "whose gradient fades where the model is sure. End it with keras.layers.Softmax(), or with a layer "
                "of activation='softmax': lrdiag takes those out while it explains.",
                stacklevel=3,
            )
        self._engine = self._engine_of(layer)
        self.layer = "input" if layer is None else path_of(self._model, layer)

    def _layer(self) -> keras.Operation:
        return choose_layer(self._opened) if self._asked_for is None else find_layer(self._opened, self._asked_for)

    def _engine_of(self, layer: keras.Operation | None) -> Engine | KerasVisEngine:
        if self._method in WEIGHTINGS:
            return Engine(self._opened, layer, self._method)
        from lrdiag.explain.keras_vis import KerasVisEngine  # here, for it imports tf-keras-vis

        return KerasVisEngine(self._opened, layer, self._method, self._batch_size)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise DataError(
            "Maps are kept in one array, so all images must have one size. Resize them, or explain one size after the "
            f"other. Received: images whose maps have the shapes {', '.join(map(str, sorted(shapes)))}"
        )
    return np.concatenate(parts)
