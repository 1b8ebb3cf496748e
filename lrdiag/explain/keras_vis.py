"""The methods of tf-keras-vis, for every model that `OpenedModel` opens.

tf-keras-vis takes Functional models of float inputs whose layers it can find by name. So the model is wrapped in a
Functional model of two layers, cut at the layer to explain. The original model is neither cloned nor changed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops, tree

from lrdiag.backend.tap import tapped
from lrdiag.data.inputs import slices
from lrdiag.errors import ModelError
from lrdiag.explain.engine import Explained, predicted_classes
from lrdiag.explain.grids import channels_first
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.plan import Plan

with warnings.catch_warnings():  # tf-keras-vis imports a SciPy module by a deprecated name
    warnings.simplefilter("ignore", DeprecationWarning)
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.layercam import Layercam
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.scorecam import Scorecam

SMOOTH_SAMPLES = 20
SMOOTH_NOISE = 0.2  # standard deviation, as a share of the range of values in the image
SMOOTH_SEED = 0
MASKED_BYTES = 2**28

Scores = Callable[[list[Any]], Any]
MakeMaps = Callable[[keras.Model, list[np.ndarray], np.ndarray], Any]  # of a model, its inputs, and classes

_EXPLAINED = "explained"  # the layer of a wrapped model that returns the feature maps
_TAKE_SEVERAL_INPUTS = ("gradcam++", "layercam")
_EXPLAIN_EVERY_MODEL = '"gradcam" and "hirescam" explain every model.'
_RAW_MAPS_OF_THE_LAYER = {
    "penultimate_layer": _EXPLAINED,
    "seek_penultimate_conv_layer": False,
    "expand_cam": False,
    "normalize_cam": False,
}


class KerasVisEngine:
    """Maps of tf-keras-vis, ≥ 0, neither normalised nor enlarged.

    Args:
        opened: The model.
        plan: The layer whose feature maps are weighted, at its last call; `None` to explain the image itself.
        method: `"gradcam++"`, `"layercam"` or `"scorecam"` for a layer, `"saliency"` or `"smoothgrad"` for the image.
        batch_size: Number of masked images in one pass of Score-CAM.
    """

    def __init__(self, opened: OpenedModel, plan: Plan | None, method: str, batch_size: int) -> None:
        methods: dict[str, MakeMaps] = {
            "gradcam++": _grad_cam_plus_plus,
            "layercam": _layer_cam,
            "scorecam": partial(_score_cam, logits=opened.logits, batch_size=batch_size),
            "saliency": _saliency,
            "smoothgrad": _smooth_grad,
        }
        self._opened = opened
        self._layer: keras.Operation | None = None
        self._call = 0
        if plan:
            self._layer, self._call = _only_map(plan, method)
        self._name, self._explain = method, methods[method]
        self._models: dict[Any, keras.Model] = {}

    def maps(self, inputs: Any, classes: np.ndarray | None) -> np.ndarray:
        """Maps of one class for each image, by default the predicted class.

        Raises:
            ModelError: If tf-keras-vis cannot take the model.
        """
        model, arrays = self._prepare(inputs)
        if classes is None:
            classes = _numpy(predicted_classes(model(arrays)))
        return self._maps(model, arrays, classes)

    def explain_mistakes(self, inputs: Any, labels: np.ndarray) -> Explained:
        """Scores of every image, and maps of the misclassified images only.

        Raises:
            ModelError: If tf-keras-vis cannot take the model.
        """
        model, arrays = self._prepare(inputs)
        scores = _numpy(model(arrays))
        predicted = predicted_classes(scores, np)
        wrong = np.flatnonzero(predicted != labels)
        mistakes = [array[wrong] for array in arrays]
        predicted_maps, true_maps = (self._maps(model, mistakes, classes[wrong]) for classes in (predicted, labels))
        return Explained(scores, wrong, predicted_maps, true_maps, None)

    def _maps(self, model: keras.Model, arrays: list[np.ndarray], classes: np.ndarray) -> np.ndarray:
        if not len(classes):
            return np.empty((0, *_explained_shape(model)[:2]), np.float32)
        return np.asarray(self._explain(model, arrays, classes), np.float32)

    def _prepare(self, inputs: Any) -> tuple[keras.Model, list[np.ndarray]]:
        """The wrapped model for inputs of this type and shape, and the inputs as floats."""
        given = [_numpy(array) for array in tree.flatten(inputs)]
        kind = tuple((array.shape[1:], array.dtype) for array in given)
        if kind not in self._models:
            self._models[kind] = self._model(given, structure=tree.map_structure(lambda _: 0, inputs))
        return self._models[kind], _floats(given)

    def _model(self, given: list[np.ndarray], structure: Any) -> keras.Model:
        def scores(arrays: list[Any]) -> Any:
            return self._opened(tree.pack_sequence_as(structure, arrays))

        self._require_one_image(given)
        self._require_same_scores_of_floats(scores, [array[:1] for array in given])
        if self._layer is None:
            return _whole_model(scores, given)
        channel_axis = 1 if channels_first(self._layer, self._opened) else -1
        return _cut_model(scores, self._layer, self._call, channel_axis, given)

    def _require_one_image(self, given: list[np.ndarray]) -> None:
        formats = (getattr(step.layer, "data_format", None) for step in self._opened.steps)
        channels_last = next(filter(None, formats), keras.config.image_data_format()) == "channels_last"
        is_one_image = [array.ndim for array in given] == [4] and channels_last
        if not is_one_image and self._name not in _TAKE_SEVERAL_INPUTS:
            raise ModelError(
                f"{self._name!r} needs a model of one input, images of shape (n, height, width, channels). Received: "
                f"inputs of shape {', '.join(str(('n', *array.shape[1:])) for array in given)}. {_EXPLAIN_EVERY_MODEL}"
            )

    def _require_same_scores_of_floats(self, scores: Scores, given: list[np.ndarray]) -> None:
        as_given, as_floats = (_numpy(scores(arrays)) for arrays in (given, _floats(given)))
        if not np.allclose(as_given, as_floats, rtol=1e-3, atol=1e-3, equal_nan=True):
            raise ModelError(
                f"{self._name!r} passes images to the model as floats, and this model scores them differently as "
                f"floats than as {', '.join(str(array.dtype) for array in given)}. Give floats that it scores "
                f"correctly. {_EXPLAIN_EVERY_MODEL}"
            )


def _only_map(plan: Plan, method: str) -> tuple[keras.Operation, int]:
    """The layer to explain and the index of its call.

    Raises:
        ModelError: If there are several, each for its own picture or path.
    """
    if plan.of_tokens:
        raise ModelError(
            f"{method!r} explains the feature maps of convolutions. Received: a model in which the output of "
            f'{plan.layers[0].name!r} becomes tokens. Use "gradcam" or "hirescam", or "saliency" or "smoothgrad" for '
            "the image itself."
        )
    if len(plan.maps) > 1 or len(plan.layers) > 1:
        names = " and ".join(repr(layer.name) for layer in plan.layers)
        raise ModelError(
            f"{method!r} makes one map, of one layer. Received: a model with {len(plan.maps)} pictures that are "
            f"explained at {names}. {_EXPLAIN_EVERY_MODEL}"
        )
    return plan.layers[0], plan.maps[0].calls[-1]


def _cut_model(
    scores: Scores, layer: keras.Operation, cut_at: int, channel_axis: int, arrays: list[np.ndarray]
) -> keras.Model:
    """A model of the scores, in which a layer named `_EXPLAINED` returns the feature maps.

    One of its layers computes the feature maps, the other computes the scores from them. Both run `scores`, tapped at
    `layer`.

    Args:
        scores: Takes a list of float32 inputs and returns the scores of the classes, a float32 tensor `(n, classes)`.
        layer: The layer that returns the feature maps; `scores` calls it.
        cut_at: The index of the call whose output is explained.
        channel_axis: The axis of the channels in its output; the model's feature maps are `(n, h, w, channels)`.
        arrays: Inputs, for their shapes.
    """

    def before(inputs: list[Any]) -> Any:
        outputs: list[Any] = []

        def collect(output: Any) -> Any:
            outputs.append(output)
            return output

        with tapped(layer, collect):
            scores(inputs)
        features = ops.cast(ops.moveaxis(outputs[cut_at], channel_axis, -1), "float32")
        return ops.stop_gradient(features)  # the gradient before the layer is not needed and takes memory

    def after(features_and_inputs: list[Any]) -> Any:
        features, *inputs = features_and_inputs
        call = count()

        def exchange(output: Any) -> Any:
            given = ops.cast(ops.moveaxis(features, -1, channel_axis), output.dtype)
            return given if next(call) == cut_at else output

        with tapped(layer, exchange):
            return scores(inputs)

    inputs = _inputs(arrays)
    features = _as_layer(before, inputs, _EXPLAINED)
    return keras.Model(inputs, _as_layer(after, [features, *inputs], "scores"))


def _whole_model(scores: Scores, arrays: list[np.ndarray]) -> keras.Model:
    """A model of the scores, in which a layer named `_EXPLAINED` returns the first input."""
    inputs = _inputs(arrays)
    explained = keras.layers.Identity(dtype="float32", name=_EXPLAINED)(inputs[0])
    return keras.Model(inputs, _as_layer(scores, [explained, *inputs[1:]], "scores"))


def _inputs(arrays: list[np.ndarray]) -> list[Any]:
    return [keras.Input(array.shape[1:], dtype="float32", name=f"input_{place}") for place, array in enumerate(arrays)]


def _as_layer(function: Scores, inputs: list[Any], name: str) -> Any:
    """Calls `function` as one compiled layer, which drops unused operations and is one operation for a tape."""
    specs = [tf.TensorSpec(tensor.shape, tf.float32) for tensor in inputs]
    graph = tf.function(function, input_signature=[specs], autograph=False).get_concrete_function()
    return keras.layers.Lambda(graph, tuple(graph.output_shapes[1:]), dtype="float32", name=name)(inputs)


def _grad_cam_plus_plus(model: keras.Model, inputs: list[np.ndarray], classes: np.ndarray) -> Any:
    """Divides the maps by the exponential of the score, which is a factor of the whole map and overflows at 89."""

    def score(scores: Any) -> Any:
        of_class = _of_class(scores, classes)
        return of_class - ops.stop_gradient(of_class)

    return GradcamPlusPlus(model)(score, inputs, **_RAW_MAPS_OF_THE_LAYER)


def _layer_cam(model: keras.Model, inputs: list[np.ndarray], classes: np.ndarray) -> Any:
    return Layercam(model)(partial(_of_class, classes=classes), inputs, **_RAW_MAPS_OF_THE_LAYER)


def _score_cam(
    model: keras.Model,
    inputs: list[np.ndarray],
    classes: np.ndarray,
    *,
    logits: Callable[[np.ndarray], np.ndarray],
    batch_size: int,
) -> Any:
    """Masks images in groups of at most `MASKED_BYTES`, because tf-keras-vis holds four arrays of that size."""

    def predict(masked: list[np.ndarray], batch_size: int) -> np.ndarray:
        return np.concatenate([logits(_numpy(model(part))) for part in slices(masked, batch_size)])

    model.predict = predict  # Keras's own draws a progress bar
    at_once = max(1, MASKED_BYTES // (_explained_shape(model)[-1] * inputs[0][0].nbytes))
    return np.concatenate(
        [
            Scorecam(model)(partial(_of_class, classes=few), images, batch_size=batch_size, **_RAW_MAPS_OF_THE_LAYER)
            for images, few in slices((inputs, classes), at_once)
        ]
    )


def _saliency(model: keras.Model, inputs: list[np.ndarray], classes: np.ndarray) -> Any:
    return _gradient_sizes(model, inputs, classes).max(axis=-1)


def _smooth_grad(model: keras.Model, inputs: list[np.ndarray], classes: np.ndarray) -> Any:
    """Draws its own noise: that of tf-keras-vis depends on the batch and uses NumPy's global generator."""
    images = inputs[0]
    noise = np.random.default_rng(SMOOTH_SEED).standard_normal((SMOOTH_SAMPLES, *images.shape[1:]), np.float32)
    spread = SMOOTH_NOISE * np.ptp(images, axis=(1, 2, 3), keepdims=True)
    total = sum(_gradient_sizes(model, [images + spread * each], classes) for each in noise)
    return np.max(total, axis=-1) / SMOOTH_SAMPLES


def _gradient_sizes(model: keras.Model, inputs: list[np.ndarray], classes: np.ndarray) -> np.ndarray:
    score = partial(_of_class, classes=classes)
    return _numpy(Saliency(model)(score, inputs, keepdims=True, gradient_modifier=_size, normalize_map=False)[0])


def _size(gradient: Any) -> Any:
    if gradient is None:
        raise ModelError(
            "No gradient flows from the scores to the image, because the model rounds it or casts it to integers. "
            f"Explain a layer. {_EXPLAIN_EVERY_MODEL}"
        )
    return ops.abs(gradient)


def _of_class(scores: Any, classes: np.ndarray) -> Any:
    return tf.gather_nd(scores, np.stack([np.arange(len(classes)), classes], axis=1))


def _explained_shape(model: keras.Model) -> tuple[int, ...]:
    return tuple(model.get_layer(_EXPLAINED).output.shape[1:])


def _floats(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [array.astype(np.float32) for array in arrays]


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))
