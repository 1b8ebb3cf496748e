"""Evaluates a model: one pass over the test set gives predictions, heatmaps, and images of the mistakes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any

import keras
import numpy as np
from keras import tree

from lrdiag.backend.memory import is_shortage
from lrdiag.data.inputs import LabelledBatches, labelled_batches
from lrdiag.errors import DataError, LrdiagError, ModelError, require_count
from lrdiag.evaluation import agreement
from lrdiag.evaluation.evaluated import Evaluated
from lrdiag.evaluation.halving import Passes
from lrdiag.evaluation.keeper import Display, Keeper, Sample
from lrdiag.evaluation.table import MOST_TEST_IMAGES, TableBuilder
from lrdiag.evaluation.training_images import ChosenImages, TrainingImages
from lrdiag.evaluation.view import NO_MAPS, drawn_by, view_of
from lrdiag.explain.batch_size import LARGEST_BATCH, images_at_once
from lrdiag.explain.collector import Collector
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.independent import compare_with_keras_vis
from lrdiag.explain.loss import takes_logits
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.pictures import pictures_of
from lrdiag.explain.predictor import Predictor
from lrdiag.explain.trust import measure_trust
from lrdiag.models.accepted import require_keras_model
from lrdiag.progress import SILENCE, Progress
from lrdiag.record.agreement import Agreement
from lrdiag.record.arrays import Heatmaps, Predictions
from lrdiag.record.facts import HeatmapFacts, IndependentCheck
from lrdiag.vocabulary import Preprocessing

_FIRST = 64
METHOD, METHOD_OF_TOKENS = "Grad-CAM", "gradient × token"


class Evaluator:
    """Evaluates a model, any number of times; the compiled pass is reused.

    Attributes:
        first_images: The first images of the last evaluation, at most 64, as the model received them. `None` before.

    Args:
        model: A model of images that returns one score per class.
        output: The output to evaluate if the model has several: its name or its index.
        batch_size: Number of images in one pass. `None` chooses it by the outputs of the model's layers.

    Raises:
        ModelError: If it is not a Keras model.
        SettingsError: If `batch_size` is below 1.
    """

    def __init__(self, model: keras.Model, *, output: str | int | None = None, batch_size: int | None = None) -> None:
        require_keras_model(model)
        if batch_size is not None:
            require_count("batch_size", batch_size)
        self._model, self._output, self._batch_size = model, output, batch_size
        self._explainer: GradCAM | None = None
        self._predictor: Predictor | None = None
        self._unavailable: str | None = None
        self._view, self._notes = NO_MAPS, NO_MAPS.notes
        self.first_images: Any = None

    def rehearse(
        self, x: Any, y: Any = None, *, display: Display | None = None, preprocess: Preprocessing | None = None
    ) -> int:
        """Checks the model on the first batch, and all data in memory, so that errors appear before training.

        Args:
            x: As in `evaluate`.
            y: As in `evaluate`.
            display: As in `evaluate`.
            preprocess: As in `evaluate`.

        Returns:
            The number of classes that the model scores.

        Raises:
            LrdiagError: If data or model cannot be used.
        """
        batches = self._batches(x, y)
        images, labels = next(batches)
        few = agreement.first_of(images)
        with _refusals_explained(self._model, images):
            opened = OpenedModel.of(self._model, images, self._output)
            scores = opened.scores(few)
        agreement.compare_with_predict(opened, few, scores)
        keeper = Keeper(display, preprocess, seed=0)
        keeper.look(images, len(labels))
        if batches.labels is None:
            opened.indices_of(labels)
        else:
            opened.indices_of(batches.labels)
            keeper.look_ahead(batches)
        return int(opened.classes)

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        display: Display | None = None,
        preprocess: Preprocessing | None = None,
        seed: int = 0,
        progress: Progress = SILENCE,
        fingerprint: str | None = None,
        keep_every_map: bool = False,
    ) -> Evaluated:
        """Predicts every image and explains the misclassified images, in one pass over the data.

        Apart from the current batch, only the scores, the maps and the misclassified images are kept in memory.

        Args:
            x: As in `GradCAM.predict_and_explain`.
            y: As in `GradCAM.predict_and_explain`.
            display: The images to show: a `uint8` array with one image for each input, or a function that converts a
                batch of inputs to images.
            preprocess: The preprocessing that the images went through, which is undone before they are shown. By
                default it is inferred from the values of the first batch, or the images are shown between the minimum
                and the maximum of that batch, and a note says so.
            seed: Random seed of the sample of misclassified images whose maps are measured.
            progress: Progress listener.
            fingerprint: The fingerprint of images and labels if it is known already; then it is not computed again.
            keep_every_map: Whether to keep the map of every image.

        Raises:
            LrdiagError: If data or model cannot be used.
        """
        batches = self._batches(x, y)
        first = next(batches)
        self.first_images = tree.map_structure(lambda array: array[:_FIRST], first[0])
        predictor = self._open(first[0], display)
        passes = Passes(self._explainer.explain if self._explainer else predictor.explain, predictor.batch_size)
        keeper = Keeper(display, preprocess, seed, fingerprint, self._view.pictures)
        collector = Collector(keep_every_map=keep_every_map)
        table = TableBuilder("test", MOST_TEST_IMAGES)
        agreed: Agreement | None = None
        size = None if batches.labels is None else len(batches.labels)
        with progress.stage("Predicting and explaining", size, "images") as stage:
            for inputs, labels, explained in passes.over(_with_indices(chain([first], batches), predictor)):
                shown = keeper.look(inputs, len(labels))
                agreed = agreed or agreement.agree(predictor.opened, inputs, labels, explained.scores)
                batch = self._view.of(explained)
                keeper.keep(shown, batch)
                collector.add(batch, labels)
                table.add(shown.images, shown.inputs, batch.features)
                stage.advance(len(labels))
        keeper.refuse_images_left_over()
        predictor.batch_size = passes.size
        predictions = collector.predictions(predictor.opened)
        heatmaps, facts = None, HeatmapFacts(METHOD, None, 0, self._unavailable)
        if self._explainer:
            heatmaps = collector.heatmaps("gradcam", str(self._explainer.layer))
            with progress.stage("Checking the heatmaps"):
                facts = _heatmap_facts(self._explainer, keeper.sample, predictions, heatmaps)
        return Evaluated(
            predictions=predictions,
            heatmaps=heatmaps,
            heatmap_facts=facts,
            mistakes=keeper.mistakes(),
            mistake_indices=predictions.misclassified,
            image_shape=keeper.image_shape,
            value_range=keeper.value_range,
            fingerprint=keeper.fingerprint(predictions.labels),
            returns_probabilities=predictor.opened.returns_probabilities,
            loss_takes_logits=takes_logits(predictor.opened.loss),
            agreement=agreed,
            every_map=collector.every_map(),
            images=table.table(predictions),
            notes=(
                *batches.notes,
                *predictions.notes,
                *predictor.opened.notes,
                *agreement.notes_of(agreed),
                *passes.notes,
                *keeper.notes,
                *self._notes,
            ),
        )

    def tabulate(
        self, chosen: ChosenImages, *, preprocess: Preprocessing | None = None, progress: Progress = SILENCE
    ) -> TrainingImages:
        """Predicts training images in inference mode, without heatmaps, and tabulates them.

        Args:
            chosen: The images.
            preprocess: As in `evaluate`.
            progress: Progress listener.

        Raises:
            LrdiagError: If data or model cannot be used.
        """
        batches = self._batches(chosen.data, None)
        first = next(batches)
        predictor = self._open(first[0])
        keeper, reason = Keeper(None, preprocess, 0, "", self._view.pictures), None
        table = TableBuilder("train", chosen.most)
        passes = Passes(predictor.explain, predictor.batch_size)
        scores, labels = [], []
        with progress.stage("Predicting training images", chosen.most, "images") as stage:
            for inputs, given, explained in passes.over(_with_indices(chain([first], batches), predictor)):
                labels.append(given)
                scores.append(explained.scores)
                if reason is None:
                    try:
                        shown = keeper.look(inputs, len(given))
                        table.add(shown.images, shown.inputs, explained.features)
                    except DataError as error:
                        reason = f"the training images can't be shown ({error})"
                stage.advance(len(given))
                if sum(map(len, labels)) >= chosen.most:
                    break
        predictions = predictor.opened.predictions(np.concatenate(scores), np.concatenate(labels))
        images = chosen.placed(table.table(predictions)) if reason is None else None
        return TrainingImages(predictions, images, reason)

    def scores(self, inputs: Any) -> np.ndarray:
        """Returns logits of shape `(n, classes)` for inputs of the model. Call it after `evaluate`."""
        return self._open(inputs).scores(inputs)

    def _batches(self, x: Any, y: Any) -> LabelledBatches:
        """Returns the batches of the data, which are cut where the model takes fewer images at once."""
        return labelled_batches(x, y, self._batch_size or LARGEST_BATCH)

    def _open(self, images: Any, display: Display | None = None) -> Predictor:
        """Compiles the pass, with heatmaps if the model has feature maps, unless it is already compiled."""
        if self._predictor is None:
            one_image, any_class = _first_of(images), np.zeros(1, np.int64)
            with _refusals_explained(self._model, images):
                try:
                    pictures = pictures_of(self._model, images)
                    drawn = drawn_by(display, images, pictures)
                    explainer = GradCAM(
                        self._model,
                        output=self._output,
                        batch_size=self._batch_size,
                        images=agreement.first_of(images),
                        pictures=drawn or None,
                    )
                    view = view_of(explainer.plan, pictures, drawn, images, display)
                    explainer.explain(one_image, any_class)
                    self._explainer, self._predictor = explainer, explainer.predictor
                    self._view, self._notes = view, (*explainer.notes, *view.notes)
                except ModelError as error:  # a model without feature maps is evaluated without heatmaps
                    opened = OpenedModel.of(self._model, images, self._output)
                    predictor = Predictor(opened, self._batch_size or images_at_once(opened, images))
                    predictor.scores(one_image)
                    self._predictor, self._unavailable = predictor, str(error)
        return self._predictor


def _with_indices(batches: Iterable[Any], predictor: Predictor) -> Iterator[tuple[Any, np.ndarray]]:
    """Yields batches with the indices of their true classes."""
    return ((inputs, predictor.opened.indices_of(given)) for inputs, given in batches)


def _heatmap_facts(explainer: GradCAM, sample: Sample, predictions: Predictions, heatmaps: Heatmaps) -> HeatmapFacts:
    """Returns how the maps were made, and how reliable they are on a random sample of the mistakes."""
    grid = explainer.token_grid
    facts = HeatmapFacts(METHOD_OF_TOKENS if grid else METHOD, heatmaps.layer, len(heatmaps.indices), grid=grid)
    if sample.images is None:
        reason = "the model does not take single images"
        return replace(facts, independent=IndependentCheck(0, 0, None, reason))
    maps = heatmaps.predicted[np.searchsorted(heatmaps.indices, sample.indices)]
    usable = np.isfinite(maps).all(axis=(1, 2))
    if not usable.any():
        return facts
    images, maps, classes = sample.images[usable], maps[usable], predictions.predicted[sample.indices[usable]]
    independent = compare_with_keras_vis(explainer.predictor.opened, heatmaps.layer, images, maps, classes)
    grey = images.ndim == 3  # without an axis of channels
    trust = measure_trust(
        lambda each: explainer.scores(each[..., 0] if grey else each),
        images[..., np.newaxis] if grey else images,
        maps,
        classes,
        test_images=len(predictions.labels),
    )
    skipped = None if trust else "one image takes longer than the whole evaluation"
    return replace(facts, trust=trust, independent=independent, not_measured=skipped)


@contextmanager
def _refusals_explained(model: keras.Model, images: Any) -> Iterator[None]:
    """Raises a `ModelError` that names images and model if Keras, or a layer of the model, rejects the images."""
    try:
        yield
    except LrdiagError:
        raise
    except Exception as error:
        if is_shortage(error):
            raise
        inputs = tree.flatten(getattr(model, "inputs", None) or [])
        taken = f"which takes {_shapes(inputs)}" if inputs else "which does not state its input shape"
        raise ModelError(
            "The model must accept the images as they are given. Resize, crop or scale them as in training. "
            f"Received: {_shapes(tree.flatten(images))} for the model {model.name!r}, {taken}: {_gist(error)}"
        ) from error


def _shapes(arrays: list[Any]) -> str:
    return " and ".join(f"{('n', *array.shape[1:])}".replace("'", "") for array in arrays)


def _gist(error: Exception) -> str:
    """Returns the message of an error, without the text and the colours that Keras adds."""
    message = re.sub(r"\x1b\[\d*m", "", str(error)).partition("Arguments received by")[0]
    return " ".join(re.sub(r"^Exception encountered when calling .*", "", message, flags=re.MULTILINE).split())


def _first_of(arrays: Any) -> Any:
    return tree.map_structure(lambda array: array[:1], arrays)
