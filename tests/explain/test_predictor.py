"""Predictions without heatmaps are those of the model, whatever its last layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from lrdiag.errors import DataError
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.predictor import Predictor
from lrdiag.record.arrays import LabelledImages

L = keras.layers


def dense(activation: str | None = None, units: int = 5) -> keras.Sequential:
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((8, 8, 3)), L.Rescaling(1 / 255), L.Flatten(), L.Dense(units, activation=activation)]
    )


def predictor(model: keras.Model, noise: LabelledImages, batch_size: int = 10) -> Predictor:
    return Predictor(OpenedModel.of(model, noise.images), batch_size)


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_predictions_are_those_of_the_model(noise: LabelledImages, activation: str | None) -> None:
    opened = predictor(dense(activation), noise)
    predictions = opened.predict(noise)
    expected = log_softmax(dense().predict(noise.images, verbose=0).astype(float), axis=1)
    np.testing.assert_allclose(predictions.log_probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(predictions.labels, noise.labels)
    assert opened.opened.returns_probabilities == (activation == "softmax")


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_one_unit_scores_two_classes(noise: LabelledImages, activation: str | None) -> None:
    predictions = predictor(dense(activation, units=1), noise).predict(noise.images, noise.labels % 2)
    expected = dense("sigmoid", units=1).predict(noise.images, verbose=0)[:, 0]
    np.testing.assert_allclose(np.exp(predictions.log_probabilities[:, 1]), expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(predictions.log_probabilities).sum(axis=1), 1, rtol=1e-12)


def test_the_softmax_of_the_scores_is_the_probability(noise: LabelledImages) -> None:
    scores = predictor(dense("softmax"), noise).scores(noise.images)
    assert scores.dtype == np.float64
    expected = dense("softmax").predict(noise.images, verbose=0)
    np.testing.assert_allclose(np.exp(log_softmax(scores, axis=1)), expected, rtol=1e-5)


def test_a_batch_has_scores_and_mistakes_but_no_maps(noise: LabelledImages) -> None:
    opened = predictor(dense(), noise)
    batch = opened.explain(noise.images, noise.labels)
    np.testing.assert_array_equal(batch.wrong, opened.predict(noise).misclassified)
    assert batch.every_map is None
    assert batch.true_maps.shape == batch.predicted_maps.shape == (len(batch.wrong), 0, 0)


def test_images_are_predicted_batch_by_batch(noise: LabelledImages, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    opened = predictor(dense(), noise, batch_size=10)
    compiled = opened._scores
    monkeypatch.setattr(opened, "_scores", lambda images: sizes.append(len(images)) or compiled(images))
    opened.predict(noise)
    opened.scores(noise.images)
    assert sizes == [10, 10, 3] * 2


def test_an_unknown_class_is_refused(noise: LabelledImages) -> None:
    with pytest.raises(DataError, match=r"A class must be 0 to 4: the model scores 5. Received: classes .* to 5"):
        predictor(dense(), noise).predict(noise.images, noise.labels + 1)
