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

from lrdiag.data.preprocessing import read_off, undo
from lrdiag.diagnosis.assemble import Fingerprint
from lrdiag.errors import DataError, LrdiagError, ModelError, require_count
from lrdiag.explain.batches import labelled_batches
from lrdiag.explain.compiled_loss import says_from_logits
from lrdiag.explain.engine import Explained
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.opened import OpenedModel
from lrdiag.explain.predictor import Predictor
from lrdiag.explain.trust import measure_trust
from lrdiag.progress import Progress, Silence
from lrdiag.records import HeatmapFacts, Heatmaps, HeatmapTrust, Predictions
from lrdiag.report.sheets import LARGEST_SIDE, scaled_down, shrunk
from lrdiag.settings import Preprocessing

BATCH_SIZE = 512
TRUST_SAMPLE = 200  # mistakes whose maps are tested
METHOD = "Grad-CAM"

Display = Callable[[Any], Any] | np.ndarray
"""The pictures to show: one for each image, or what makes them of a batch of inputs."""


@dataclass(frozen=True)
class Examined:
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


class Examiner:
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
            x: As `examine` takes it.
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
        _Watch(display, preprocess, seed=0).look(images, len(labels))
        return int(opened.classes)

    def examine(
        self,
        x: Any,
        y: Any = None,
        *,
        display: Display | None = None,
        preprocess: Preprocessing | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        on_batch: Callable[[Explained], None] | None = None,
    ) -> Examined:
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
        watch = _Watch(display, preprocess, seed)
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
        return Examined(
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


class _Watch:
    """Looks at the batches on their way to the model, and keeps what the page shows of them."""

    def __init__(self, display: Display | None, preprocess: Preprocessing | None, seed: int) -> None:
        self._display, self._preprocess = display, preprocess
        self._seen = 0
        self._kept: list[np.ndarray] = []
        self._lots = np.random.default_rng(seed)
        self.sample = _Sample()
        self.fingerprint = Fingerprint()
        self.image_shape = (0, 0, 0)
        self.value_range = (np.inf, -np.inf)

    def over(self, batches: Iterator[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, np.ndarray]]:
        """Passes the batches on."""
        for inputs, labels in batches:
            self.look(inputs, len(labels))
            yield inputs, labels

    def look(self, inputs: Any, count: int) -> None:
        """Takes note of one batch of so many images."""
        self._inputs = inputs = tree.map_structure(np.asarray, inputs)
        values = _image_input(inputs)
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise DataError(
                "The values of images must be finite. Find out where they are spoilt, or leave those images out. "
                f"Received: NaN or infinite values in images {self._seen} to {self._seen + count - 1}"
            )
        self.value_range = min(self.value_range[0], low), max(self.value_range[1], high)
        pictures = self._pictures(inputs, count)
        if self._seen and pictures.shape[1:] != self.image_shape:
            raise DataError(
                "All images must have one size. Resize them, or diagnose one size after the other. "
                f"Received: images of shape {self.image_shape} and {pictures.shape[1:]}"
            )
        self.image_shape = pictures.shape[1:]
        self.fingerprint.update(pictures)
        self._shown = pictures
        self._seen += count

    def _pictures(self, inputs: Any, count: int) -> np.ndarray:
        if self._display is None:
            return self._undone(_image_input(inputs))
        if callable(self._display):
            pictures = np.asarray(self._display(inputs))
        else:
            pictures = np.asarray(self._display[self._seen : self._seen + count])
        pictures = pictures[..., np.newaxis] if pictures.ndim == 3 else pictures
        if pictures.dtype != np.uint8 or len(pictures) != count or not _is_shown(pictures):
            raise DataError(
                "`display` must give one picture for each image, uint8 of shape (n, height, width, 1 or 3). "
                f"Received: {pictures.dtype} of shape {pictures.shape} for images {self._seen} to "
                f"{self._seen + count - 1}"
            )
        return pictures

    def _undone(self, images: np.ndarray) -> np.ndarray:
        images = images[..., np.newaxis] if images.ndim == 3 else images
        if not _is_shown(images):
            raise DataError(
                "To be shown, images must be grey or RGB, of shape (n, height, width, 1 or 3). Give the pictures to "
                f"show with `display=`. Received: shape {images.shape}"
            )
        if self._preprocess is None:
            self._preprocess = read_off(images)
        return undo(images, self._preprocess)

    def keep(self, batch: Explained) -> None:
        """Keeps the pictures of the mistakes of the batch that went by last."""
        height, width = shrunk(*self.image_shape[:2], LARGEST_SIDE)
        self._kept.append(_scaled(self._shown[batch.wrong], height, width))
        if isinstance(self._inputs, np.ndarray) and self._inputs.ndim in (3, 4):
            first = self._seen - len(batch.scores)
            self.sample.add(self._lots.random(len(batch.wrong)), first + batch.wrong, self._inputs[batch.wrong])

    def mistakes(self) -> np.ndarray:
        """The pictures that were kept."""
        return np.concatenate(self._kept)

    def refuse_pictures_left_over(self) -> None:
        """Refuses more pictures to show than there were images."""
        if isinstance(self._display, np.ndarray) and len(self._display) != self._seen:
            raise DataError(
                "`display` must hold one picture for each image. "
                f"Received: {len(self._display)} pictures for {self._seen} images"
            )


class _Sample:
    """A random sample out of a stream: the images that drew the lowest lots so far."""

    def __init__(self) -> None:
        self._lots = np.empty(0)
        self.indices = np.empty(0, np.int64)
        self.images: np.ndarray | None = None

    def add(self, lots: np.ndarray, indices: np.ndarray, images: np.ndarray) -> None:
        """Draws among those so far and these."""
        lots, indices = np.concatenate([self._lots, lots]), np.concatenate([self.indices, indices])
        images = images if self.images is None else np.concatenate([self.images, images])
        chosen = np.sort(np.argsort(lots, kind="stable")[:TRUST_SAMPLE])
        self._lots, self.indices, self.images = lots[chosen], indices[chosen], images[chosen]


def _measure_trust(
    predictor: Predictor, sample: _Sample, predictions: Predictions, heatmaps: Heatmaps
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


def _image_input(inputs: Any) -> np.ndarray:
    """The images among the inputs of a model: the first that can be shown, else the first."""
    arrays = [np.asarray(array) for array in tree.flatten(inputs)]
    return next((array for array in arrays if array.ndim == 4 and _is_shown(array)), arrays[0])


def _is_shown(images: np.ndarray) -> bool:
    return images.ndim == 4 and images.shape[3] in (1, 3)


def _scaled(images: np.ndarray, height: int, width: int) -> np.ndarray:
    if images.shape[1:3] == (height, width):
        return images
    scaled = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for image, small in zip(images, scaled, strict=True):
        small[:] = scaled_down(image, height, width)
    return scaled


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
