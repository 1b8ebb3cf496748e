"""Compares heatmaps with those of an independent implementation of Grad-CAM, tf-keras-vis."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from lrdiag.backend.graph import outputs_in_graph, parts
from lrdiag.backend.tap import without_function
from lrdiag.backend.tensorflow_only import without_kernel_gradients
from lrdiag.data.inputs import slices
from lrdiag.explain.batch_size import images_at_once
from lrdiag.explain.layers import LAYERS_JOINED
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.tokens import become_tokens
from lrdiag.record.facts import IndependentCheck

CHECKED = 16  # images at most
TOLERANCE = 0.01  # between two maps, each scaled to 0–1
SECONDS = 2.0  # at most, the import of tf-keras-vis included
_COST_OF_GRADIENTS = 3  # passes without gradients
_TRIALS = 3  # explanations of one image that show how long all take


def compare_with_keras_vis(
    opened: OpenedModel, layer: str, images: np.ndarray, maps: np.ndarray, classes: np.ndarray
) -> IndependentCheck:
    """Computes the maps of some images with tf-keras-vis and compares them.

    tf-keras-vis runs the model itself, not the compiled pass that made `maps`; only the softmax or sigmoid at the end
    of the model is removed in the same way. The comparison is skipped if Keras does not run on TensorFlow, if
    tf-keras-vis does not support the model, or if the time of a single image suggests that it would take longer than
    `SECONDS`.

    Args:
        opened: The model.
        layer: The path of the explained layer, as `GradCAM.layer`.
        images: The model's input, of shape `(n, height, width, channels)`; `CHECKED` of them are compared.
        maps: The Grad-CAM map of each image, `(n, h, w)`, ≥ 0 and finite.
        classes: The class that each map explains, integers of shape `(n,)`.
    """
    chosen = np.linspace(0, len(images) - 1, min(CHECKED, len(images))).round().astype(int)
    images, maps, classes = images[chosen], maps[chosen], classes[chosen]
    reason = _unsupported(opened, layer, images[:1])
    if reason is None:
        try:
            with warnings.catch_warnings(), without_function(opened.head):
                warnings.simplefilter("ignore")  # tf-keras-vis uses deprecated names of SciPy and NumPy
                theirs = _maps_in_time(opened, layer, images.astype(np.float32), classes)
        except Exception as error:  # a layer of the model, or tf-keras-vis, may raise anything
            reason = f"tf-keras-vis cannot explain the model ({type(error).__name__})"
        else:
            if isinstance(theirs, np.ndarray):
                differences = np.abs(_scaled(maps) - _scaled(theirs)).max(axis=(1, 2))
                return IndependentCheck(len(maps), int((differences <= TOLERANCE).sum()), float(differences.max()))
            reason = f"it would take about {theirs:.1f} s"
    return IndependentCheck(0, 0, None, reason)


def _unsupported(opened: OpenedModel, layer: str, image: np.ndarray) -> str | None:
    """Returns why tf-keras-vis does not support the model, or `None` if it does."""
    model = opened.model
    if keras.config.backend() != "tensorflow":
        return "tf-keras-vis runs on TensorFlow only"
    if not getattr(model, "inputs", None):
        return "tf-keras-vis does not support subclassed models"
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        return "tf-keras-vis is only compared on models of one input and one output"
    if become_tokens(opened, next(each for path, each in parts(opened.model) if path == layer.split(LAYERS_JOINED)[0])):
        return "tf-keras-vis makes no heatmaps of tokens"
    if LAYERS_JOINED in layer:
        return "tf-keras-vis explains a single layer"
    if "/" in layer:
        return "tf-keras-vis does not support layers inside a nested model or layer"
    if len(_outputs(model, layer)) != 1:
        return "the explained layer is called several times, which tf-keras-vis does not support"
    if not opened.inference.is_plain:
        return "tf-keras-vis does not prepare the images as the model's `predict` does"
    if opened.is_closed:
        return "no layer computes the model's probabilities, so there is no logit to explain"
    if any(getattr(each, "data_format", None) == "channels_first" for each in model.layers):
        return "tf-keras-vis needs the channels last"
    if any(each.compute_dtype in ("float16", "bfloat16") for each in model.layers):
        return "in half precision two correct maps may differ by more than 0.01"
    as_given, as_floats = (ops.convert_to_numpy(opened(each)) for each in (image, image.astype(np.float32)))
    if not np.allclose(as_given, as_floats, rtol=1e-3, atol=1e-3, equal_nan=True):
        return "tf-keras-vis passes images as floats, which the model scores differently"
    return None


def _maps_in_time(opened: OpenedModel, layer: str, images: np.ndarray, classes: np.ndarray) -> np.ndarray | float:
    """Returns the maps, or the estimated time in seconds if it exceeds `SECONDS`.

    tf-keras-vis keeps what every layer returns.
    """
    of_one = _COST_OF_GRADIENTS * _seconds(lambda: opened(images[:1]))
    if _TRIALS * of_one > SECONDS:
        return of_one * len(images)
    started = time.perf_counter()
    explain = _keras_vis(opened, layer)
    first = explain(images[:1], classes[:1])  # includes one-time costs
    if time.perf_counter() - started > SECONDS:
        return time.perf_counter() - started + of_one * (len(images) - 1)
    of_one = min(_seconds(lambda: explain(images[:1], classes[:1])) for _ in range(_TRIALS - 1))
    estimate = time.perf_counter() - started + of_one * (len(images) - 1)
    if estimate > SECONDS:
        return estimate
    others = slices((images[1:], classes[1:]), images_at_once(opened, images, [])) if len(images) > 1 else ()
    return np.concatenate([first, *(explain(*few) for few in others)])


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _keras_vis(opened: OpenedModel, layer: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function from images and classes to the maps of tf-keras-vis, neither scaled nor enlarged."""
    from tf_keras_vis.gradcam import Gradcam

    gradcam = Gradcam(opened.model)
    (output,) = _outputs(opened.model, layer)
    settings = {
        "penultimate_layer": _LayerWithOutput(output),
        "seek_penultimate_conv_layer": False,
        "expand_cam": False,
        "normalize_cam": False,
    }

    def explain(images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        # A single logit is evidence for the second class and against the first.
        directions = np.eye(opened.units)[classes] if opened.units > 1 else 2 * classes[:, np.newaxis] - 1

        def score(outputs: Any) -> Any:
            return ops.sum(ops.cast(outputs, "float32") * directions.astype(np.float32), axis=1)

        with without_kernel_gradients():
            return np.asarray(gradcam(score, images, **settings))

    return explain


class _LayerWithOutput(keras.layers.Layer):  # type: ignore[misc]
    """Has the output in the model's graph. tf-keras-vis reads `layer.output`, which may belong to another graph."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self._output = output

    @property
    def output(self) -> Any:
        return self._output


def _outputs(model: keras.Model, path: str) -> list[Any]:
    layer = next(layer for each, layer in parts(model) if each == path)
    return outputs_in_graph(model, layer)


def _scaled(maps: np.ndarray) -> np.ndarray:
    """Divides each map by its peak; a map of zeros stays as it is."""
    peaks = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0))
