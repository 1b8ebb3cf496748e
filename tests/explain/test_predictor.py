"""Predictions without heatmaps: those of the model, whatever it ends in."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from lrdiag.errors import DataError
from lrdiag.explain.engine import Explained
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
    assert opened.returns_probabilities == (activation == "softmax")


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_one_unit_scores_two_classes(noise: LabelledImages, activation: str | None) -> None:
    predictions = predictor(dense(activation, units=1), noise).predict(noise.images, noise.labels % 2)
    expected = dense("sigmoid", units=1).predict(noise.images, verbose=0)[:, 0]
    np.testing.assert_allclose(np.exp(predictions.log_probabilities[:, 1]), expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(predictions.log_probabilities).sum(axis=1), 1, rtol=1e-12)


def test_the_softmax_of_scores_is_the_probability(noise: LabelledImages) -> None:
    scores = predictor(dense("softmax"), noise).scores(noise.images)
    assert scores.dtype == np.float64
    expected = dense("softmax").predict(noise.images, verbose=0)
    np.testing.assert_allclose(np.exp(log_softmax(scores, axis=1)), expected, rtol=1e-5)


def test_each_batch_is_told_with_its_mistakes(noise: LabelledImages) -> None:
    told: list[Explained] = []
    predictions = predictor(dense(), noise).predict(noise, on_batch=told.append)
    assert [len(batch.scores) for batch in told] == [10, 10, 3]
    wrong = np.concatenate([10 * place + batch.wrong for place, batch in enumerate(told)])
    np.testing.assert_array_equal(wrong, predictions.misclassified)
    assert all(batch.every_map is None and batch.true_maps.size == 0 for batch in told)


def test_the_batch_size_is_that_of_the_passes(noise: LabelledImages) -> None:
    told: list[Explained] = []
    predictor(dense(), noise, batch_size=23).predict(noise, on_batch=told.append)
    assert len(told) == 1


def test_a_class_that_is_not_scored_is_refused(noise: LabelledImages) -> None:
    with pytest.raises(DataError, match=r"A class must be 0 to 4: the model scores 5. Received: classes .* to 5"):
        predictor(dense(), noise).predict(noise.images, noise.labels + 1)
