"""Predictions, and heatmaps of the misclassified images, in one pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, get_args

import keras
import numpy as np

from lrdiag.backend.graph import example_input
from lrdiag.data.inputs import labelled_batches, slices
from lrdiag.errors import SettingsError, require_choice, require_count
from lrdiag.explain.batch_size import LARGEST_BATCH, images_at_once
from lrdiag.explain.collector import Collector, joined
from lrdiag.explain.engine import Engine, Explained
from lrdiag.explain.grids import grid_of
from lrdiag.explain.layers import LAYERS_JOINED, choose_layers, find_layer, path_of
from lrdiag.explain.methods import OF_THE_IMAGE, SIGNED, MethodName, method_of
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.of_image import plan_of_images
from lrdiag.explain.paths import cover
from lrdiag.explain.pictures import Picture, evenly_spaced, pictures_of
from lrdiag.explain.plan import Plan, plan_of
from lrdiag.explain.predictor import Predictor
from lrdiag.models.accepted import require_keras_model
from lrdiag.record.arrays import Heatmaps, Predictions


class GradCAM:
    """Shows which regions of an image support the score of a class, in one compiled pass over many images.

    The model is neither cloned nor changed. It may be Functional, Sequential, nested or subclassed, with one or several
    inputs, in any precision. Scores are logits: a softmax or sigmoid at the end of the model is removed while the pass
    is compiled, because its gradient vanishes where the model is confident. Layers run in inference mode.

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

    There are seven methods. The first two explain every image in the pass that predicts it. The others explain the
    misclassified images in further passes, and provide neither signed maps nor the mean maps of the classes: their maps
    are ≥ 0.

    - `"gradcam"`: weights each feature map of the layer by the mean of its gradient.
    - `"hirescam"`: weights each position of the feature maps by its own gradient.
    - `"gradcam++"`: weights each feature map by a sum of its positive gradients in which small and large objects count
      alike. The factor of the paper that is the exponential of the score is left out, because it overflows.
    - `"layercam"`: weights each position by its own gradient where the gradient is positive.
    - `"scorecam"`: weights each feature map by the probability of the class when the image is masked with it. It uses
      no gradient, but predicts one more image for each channel of the layer.
    - `"saliency"`: the absolute gradient with respect to the image, in the channel where it is largest.
    - `"smoothgrad"`: the mean of these absolute gradients over 20 copies of the image with noise, whose standard
      deviation is a fifth of the range of values in the image. The noise is the same for every image and run.

    A transformer is explained where the image becomes tokens, one for each patch. There `"gradcam"` and `"hirescam"`
    weight each token by its own gradient, while the weights of attention and the scales of layer normalization are held
    constant; `"gradcam"` subtracts the mean of all tokens first. Then a map says, to first order, how much the score
    would fall if a token were replaced by the mean token. The other methods of a layer do not support transformers.

    Sources: Ali et al., "XAI for transformers" (2022); Selvaraju et al., "Grad-CAM" (2017); Draelos and Carin, "Use
    HiResCAM instead of Grad-CAM" (2020); Chattopadhay et al., "Grad-CAM++" (2018); Jiang et al., "LayerCAM" (2021);
    Wang et al., "Score-CAM" (2020); Simonyan et al., "Deep inside convolutional networks" (2013); Smilkov et al.,
    "SmoothGrad" (2017).

    Attributes:
        layer: The layer whose feature maps are weighted, as a path through nested models: `"backbone/block5"`.
            `"input"` for `"saliency"` and `"smoothgrad"`. `None` before the first images if the model does not state
            its input shape, such as a subclassed model. Several layers are joined by `" + "`: if no single layer lies
            on every path from the image to the scores, as in a model of two backbones, their maps are added.
        plan: Which pictures the maps belong to; `None` as long as `layer` is.

    Args:
        model: A Keras model that takes images and returns one score per class.
        layer: The layer to explain: the layer itself, its name or its path. Defaults to the last feature map that has
            a height and a width, after its activation, or the layer at which the image becomes tokens. Not for
            `"saliency"` and `"smoothgrad"`.
        output: The output to explain if the model has several: its name or its index.
        method: One of the methods above.
        batch_size: Number of images in one pass. `None` chooses it by the outputs of the model's layers, so that a pass
            takes about as much memory as `model.predict`.
        images: Images to open the model with, as `maps` takes them. They decide which layer the scores depend on, and
            whether a single unit is a probability or a logit, if neither a layer nor the compiled loss does. Defaults
            to noise if the model states its input shape, otherwise to the first images that are explained.
        pictures: The pictures of each image that are explained. Defaults to all, of more than 4 to evenly spaced ones.

    Raises:
        ModelError: If it isn't a keras.Model, or has no such layer or output, or no layer that can be explained.
        SettingsError: If `method` is unknown or takes no layer, or `batch_size` is below 1.
    """

    def __init__(
        self,
        model: keras.Model,
        layer: str | keras.Layer | None = None,
        *,
        output: str | int | None = None,
        method: MethodName = "gradcam",
        batch_size: int | None = None,
        images: Any = None,
        pictures: Sequence[Picture] | None = None,
    ) -> None:
        require_keras_model(model)
        require_choice("method", method, get_args(MethodName))
        if method in OF_THE_IMAGE and layer is not None:
            raise SettingsError(f"{method!r} explains the image itself and takes no layer. Received: layer={layer!r}")
        if batch_size is not None:
            require_count("batch_size", batch_size)
        self.layer: str | None = None
        self.plan: Plan | None = None
        self._model, self._asked_for, self._output = model, layer, output
        self._method, self._batch_size = method, batch_size
        self._pictures = pictures
        if images is not None:
            self._open(images, images)
        elif (noise := example_input(model, images=2)) is not None:
            self._open(noise)

    def __repr__(self) -> str:
        layer = "known with the first images" if self.layer is None else repr(self.layer)
        return f"GradCAM(model={self._model.name!r}, layer={layer}, method={self._method!r})"

    def maps(self, images: Any, classes: Any = None, *, signed: bool = False) -> np.ndarray:
        """Heatmaps of the images, each for one class.

        Args:
            images: The model's input: an array of shape `(n, height, width, channels)`, `uint8` or float, or a nest of
                arrays if it takes several.
            classes: The class to explain in each image, integers of shape `(n,)`. Defaults to the predicted classes.
            signed: Whether to keep evidence against the class as negative values. The difference of the signed maps of
                two classes shows why the model scored one higher than the other.

        Returns:
            Raw maps, a `float32` array of shape `(n, h, w)`, not rescaled. They have the resolution of the layer, or
            of the image for `"saliency"` and `"smoothgrad"`. If the model takes several pictures, each with its own
            map, the maps are stacked along the height, in the order of `plan.maps`.

        Raises:
            DataError: If there is not one class for each image, or the model does not score a class.
            ModelError: If the method does not support the model.
            SettingsError: If the method has no signed maps.
        """
        if signed and self._method not in SIGNED:
            raise SettingsError(
                f"Only the methods {' and '.join(SIGNED)} have signed maps. Received: signed=True with the "
                f"method {self._method!r}"
            )
        pairs: Any = ((batch, None) for batch in slices(images, self._batch_size or LARGEST_BATCH))
        if classes is not None:
            pairs = labelled_batches(images, classes, self._batch_size or LARGEST_BATCH)
        maps = joined([self._ready(batch, targets).maps(batch, targets) for batch, targets in self._pieces(pairs)])
        return maps if signed else np.maximum(maps, 0)

    def predict_and_explain(
        self, x: Any, y: Any = None, *, on_batch: Callable[[Explained], None] | None = None
    ) -> tuple[Predictions, Heatmaps]:
        """Predicts every image and explains the misclassified images, for the predicted and for the true class.

        The data is streamed: apart from the current batch, only scores and the small maps are kept in memory.

        Args:
            x: Images as `maps` takes them, or a `tf.data.Dataset`, `keras.utils.PyDataset` or iterable of batches
                `(images, labels)`.
            y: Labels if `x` is images: class indices of shape `(n,)`, or one one-hot or soft row per image.
            on_batch: Called after each batch with its `scores`, its maps, and which of its images are `wrong`.

        Returns:
            The predictions, and the maps of the misclassified images.

        Raises:
            DataError: If images or labels are missing or differ in number, the data has no end, or a class is unknown.
            ModelError: If the method does not support the model.
        """
        collector = Collector()
        for images, given in self._pieces(labelled_batches(x, y, self._batch_size or LARGEST_BATCH)):
            labels = self._opened.indices_of(given)
            batch = self.explain(images, labels)
            collector.add(batch, labels)
            if on_batch:
                on_batch(batch)
        return collector.predictions(self._opened), collector.heatmaps(self._method, str(self.layer))

    def explain(self, images: Any, labels: np.ndarray) -> Explained:
        """Predicts one batch and explains its misclassified images.

        Args:
            images: As `maps` takes them, in one batch.
            labels: The true classes, integers of shape `(n,)`.

        Raises:
            DataError: If the model does not score one of the classes.
            ModelError: If the method does not support the model.
        """
        return self._ready(images, labels).explain_mistakes(images, labels)

    def scores(self, images: Any) -> np.ndarray:
        """As `Predictor.scores`, in the pass that makes the maps: it is compiled already, which takes seconds."""
        parts = [self._ready(few, None).scores(few) for few in slices(images, self._at_once)]
        return self._opened.logits(np.concatenate(parts))

    @cached_property
    def predictor(self) -> Predictor:
        """The same model without heatmaps; available as soon as `layer` is known."""
        return Predictor(self._opened, self._at_once)

    def _pieces(self, batches: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        """Cuts batches of images and classes, or `None`, into those that go through the model at once."""
        for images, classes in batches:
            self._ready(images, None)
            if classes is None:
                yield from ((piece, None) for piece in slices(images, self._at_once))
            else:
                yield from slices((images, classes), self._at_once)

    @property
    def token_grid(self) -> str | None:
        """The size of the maps, `"token grid 8×8"`, if they show the tokens of a transformer; otherwise `None`."""
        if self.plan is None or not self.plan.of_tokens:
            return None
        height, width = grid_of(self.plan.layers[0], self._opened).size
        return f"token grid {height}×{width}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the maps that a reader needs to interpret them; available as soon as `layer` is known."""
        notes = []
        if self._opened.explains_probabilities:
            notes.append(
                "The heatmaps explain a probability, because no layer computes it from the logits at the end of the "
                "model. Its gradient vanishes where the model is confident, and with it the heatmap."
            )
        if self.plan and self.plan.layers and not cover(self._opened, self.plan.layers):
            notes.append(
                f"The heatmaps cover only the part of the model that leads through {self.layer}. Other paths from the "
                "image to the scores go around it."
            )
        return tuple(notes)

    def _ready(self, images: Any, classes: np.ndarray | None) -> Engine:
        """Returns the engine, and opens the model with the first images if it does not state its input shape."""
        if self.layer is None:
            self._open(images, images)
        if classes is not None:
            self._opened.refuse_unknown_classes(classes)
        return self._engine

    def _open(self, sample: Any, images: Any = None) -> None:
        self._opened = OpenedModel(self._model, sample, self._output, images=images)
        layers = [] if self._method in OF_THE_IMAGE else self._layers()
        if self._opened.is_closed:
            warnings.warn(
                "The model returns probabilities, but none of its layers computes them, so its heatmaps explain the "
                "probability, whose gradient vanishes where the model is confident. End the model with "
                "keras.layers.Softmax(), or with a layer of activation='softmax', which lrdiag can remove.",
                stacklevel=3,
            )
        pictures = self._pictures or evenly_spaced(pictures_of(self._model, self._opened.sample))
        self.plan = plan_of(self._opened, layers, pictures) if layers else plan_of_images(pictures)
        self._at_once = self._batch_size or images_at_once(self._opened, sample, layers)
        self._engine = Engine(self._opened, method_of(self._method, self._opened, self.plan, self._at_once))
        self.layer = LAYERS_JOINED.join(path_of(self._model, layer) for layer in layers) or "input"

    def _layers(self) -> list[keras.Operation]:
        if self._asked_for is None:
            return choose_layers(self._opened)
        return [find_layer(self._opened, self._asked_for)]
