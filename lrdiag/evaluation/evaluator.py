"""The test: one pass over the test set that keeps predictions, heatmaps, and pictures of the mistakes alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import keras
import numpy as np
from keras import tree

from lrdiag.data.inputs import labelled_batches
from lrdiag.errors import LrdiagError, ModelError, require_count
from lrdiag.evaluation.keeper import Display, Keeper, Sample
from lrdiag.explain.engine import Explained
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.loss import says_from_logits
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.predictor import Predictor
from lrdiag.explain.trust import measure_trust
from lrdiag.progress import Progress, Silence
from lrdiag.record.arrays import Heatmaps, Predictions
from lrdiag.record.facts import HeatmapFacts, HeatmapTrust
from lrdiag.vocabulary import Preprocessing

BATCH_SIZE = 512
METHOD = "Grad-CAM"


@dataclass(frozen=True)
class Evaluated:
    """What came out of the test.

    Attributes:
        predictions: Of every image.
        heatmaps: Of the misclassified images; `None` where the model has no feature map.
        facts: How the heatmaps were made.
        mistakes: The misclassified images, a `uint8` array of shape `(m, height, width, channels)`, in the order of
            the test set; scaled down where they are larger than the page shows them.
        image_shape: Height, width and channels of the pictures.
        value_range: The least and the greatest number in the images as the model took them.
        fingerprint: Of pictures and labels.
        returns_probabilities: Whether the model ends in a softmax or sigmoid.
        loss_takes_logits: Whether the loss that the model was compiled with expects none; `None` where it was not.
    """

    predictions: Predictions
    heatmaps: Heatmaps | None
    facts: HeatmapFacts
    mistakes: np.ndarray
    image_shape: tuple[int, int, int]
    value_range: tuple[float, float]
    fingerprint: str
    returns_probabilities: bool
    loss_takes_logits: bool | None


class Evaluator:
    """Puts a model to the test, again and again if need be: what is compiled is kept.

    Args:
        model: A model of images that returns one score per class.
        output: Which output, where it has several.
        batch_size: Images in one pass, where they come as arrays.

    Raises:
        ModelError: If it is no Keras model.
        SettingsError: If `batch_size` is below 1.
    """

    def __init__(self, model: keras.Model, *, output: str | int | None = None, batch_size: int = BATCH_SIZE) -> None:
        if not isinstance(model, keras.Model):
            raise ModelError(f"`model` must be a keras.Model. Received: {type(model).__name__}")
        require_count("batch_size", batch_size)
        self._model, self._output, self._batch_size = model, output, batch_size
        self._explainer: GradCAM | None = None
        self._predictor: Predictor | None = None
        self._unavailable: str | None = None

    def rehearse(
        self, x: Any, y: Any = None, *, display: Display | None = None, preprocess: Preprocessing | None = None
    ) -> int:
        """Tries the first batch, so that what cannot be used is refused before hours of training depend on it.

        Args:
            x: As `evaluate` takes it.
            y: The same.
            display: The same.
            preprocess: The same.

        Returns:
            How many classes the model scores.

        Raises:
            LrdiagError: If data or model cannot be used.
        """
        images, labels = next(labelled_batches(x, y, self._batch_size))
        with _refusals_explained(self._model, images):
            opened = OpenedModel.of(self._model, images, self._output)
            opened(_first_of(images))
        opened.refuse_unknown_classes(labels)
        Keeper(display, preprocess, seed=0).look(images, len(labels))
        return int(opened.classes)

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        display: Display | None = None,
        preprocess: Preprocessing | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        on_batch: Callable[[Explained], None] | None = None,
    ) -> Evaluated:
        """Predicts every image and explains the mistakes, in one pass over the data.

        Beside a batch only the scores, the maps and the pictures of the mistakes are kept.

        Args:
            x: As `GradCAM.predict_and_explain` takes it.
            y: The same.
            display: The pictures to show, `uint8`, one for each image, or a function from a batch of inputs to them.
            preprocess: What was done to the pictures before they reached the model, to be undone; by default it is
                read off the values of the first batch.
            seed: Of the sample of mistakes whose maps are tested.
            progress: Who listens; nobody by default.
            on_batch: Called after each batch with what came out of it.

        Raises:
            LrdiagError: If data or model cannot be used.
        """
        progress = progress or Silence()
        batches = labelled_batches(x, y, self._batch_size)
        first = next(batches)
        predictor = self._open(*first)
        watch = Keeper(display, preprocess, seed)
        with progress.stage("Predicting and explaining", _size(x), "images") as stage:

            def keep(batch: Explained) -> None:
                watch.keep(batch)
                stage.advance(len(batch.scores))
                if on_batch:
                    on_batch(batch)

            watched = watch.over(chain([first], batches))
            if self._explainer:
                predictions, heatmaps = self._explainer.predict_and_explain(watched, on_batch=keep)
            else:
                predictions, heatmaps = predictor.predict(watched, on_batch=keep), None
        watch.refuse_pictures_left_over()
        facts = HeatmapFacts(METHOD, None, 0, self._unavailable)
        if heatmaps:
            with progress.stage("Testing the heatmaps"):
                trust = _measure_trust(predictor, watch.sample, predictions, heatmaps)
            facts = HeatmapFacts(METHOD, heatmaps.layer, len(heatmaps.indices), trust=trust)
        return Evaluated(
            predictions=predictions,
            heatmaps=heatmaps,
            facts=facts,
            mistakes=watch.mistakes(),
            image_shape=watch.image_shape,
            value_range=watch.value_range,
            fingerprint=watch.fingerprint.of(predictions.labels),
            returns_probabilities=predictor.returns_probabilities,
            loss_takes_logits=says_from_logits(self._model, self._output),
        )

    def _open(self, images: Any, labels: np.ndarray) -> Predictor:
        """Compiles what explains, or else what only predicts, if that was not done before."""
        if self._predictor is None:
            one_image, its_label = _first_of((images, labels))
            with _refusals_explained(self._model, images):
                try:
                    explainer = GradCAM(self._model, output=self._output, batch_size=self._batch_size)
                    explainer.predict_and_explain(one_image, its_label)
                    self._explainer, self._predictor = explainer, explainer.predictor
                except ModelError as error:  # a network without feature maps has mistakes too
                    predictor = Predictor(OpenedModel.of(self._model, images, self._output), self._batch_size)
                    predictor.scores(one_image)
                    self._predictor, self._unavailable = predictor, str(error)
        return self._predictor


def _measure_trust(
    predictor: Predictor, sample: Sample, predictions: Predictions, heatmaps: Heatmaps
) -> HeatmapTrust | None:
    """How far the maps can be trusted, measured on a random sample of the mistakes; `None` where none can be."""
    maps = heatmaps.predicted[np.searchsorted(heatmaps.indices, sample.indices)]
    usable = np.isfinite(maps).all(axis=(1, 2))
    if sample.images is None or not usable.any():
        return None
    classes = predictions.predicted[sample.indices[usable]]
    images = sample.images[usable]
    if images.ndim == 3:  # grey, and given without an axis of channels
        return measure_trust(
            lambda each: predictor.scores(each[..., 0]), images[..., np.newaxis], maps[usable], classes
        )
    return measure_trust(predictor.scores, images, maps[usable], classes)


@contextmanager
def _refusals_explained(model: keras.Model, images: Any) -> Iterator[None]:
    """Says what was given to which model where Keras, or a layer of one's own, cannot take it."""
    try:
        yield
    except LrdiagError:
        raise
    except Exception as error:
        inputs = tree.flatten(getattr(model, "inputs", None) or [])
        taken = f"one that takes {_shapes(inputs)}" if inputs else "one that does not say what it takes"
        raise ModelError(
            "The model must take the images as they are given. Resize, crop or scale them as in training. "
            f"Received: {_shapes(tree.flatten(images))} for the model {model.name!r}, {taken}: {_gist(error)}"
        ) from error


def _shapes(arrays: list[Any]) -> str:
    return " and ".join(f"{('n', *array.shape[1:])}".replace("'", "") for array in arrays)


def _gist(error: Exception) -> str:
    """What an error says, without the frame and the colours that Keras puts around it."""
    said = re.sub(r"\x1b\[\d*m", "", str(error)).partition("Arguments received by")[0]
    return " ".join(re.sub(r"^Exception encountered when calling .*", "", said, flags=re.MULTILINE).split())


def _first_of(arrays: Any) -> Any:
    return tree.map_structure(lambda array: array[:1], arrays)


def _size(x: Any) -> int | None:
    """How many images there are, where that can be told beforehand."""
    return len(x) if isinstance(x, np.ndarray) or hasattr(x, "images") else None
