"""Predictions without heatmaps are those of the model, whatever its last layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.special import log_softmax

from lrdiag.errors import DataError
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.predictor import Predictor
from lrdiag.record.arrays import LabelledImages, Predictions

L = keras.layers


def dense(activation: str | None = None, units: int = 5) -> keras.Sequential:
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((8, 8, 3)), L.Rescaling(1 / 255), L.Flatten(), L.Dense(units, activation=activation)]
    )


def predicted(opened: Predictor, images: np.ndarray, labels: np.ndarray) -> Predictions:
    return opened.opened.predictions(opened.explain(images, labels).scores, labels)


def predictor(model: keras.Model, noise: LabelledImages, batch_size: int = 10) -> Predictor:
    return Predictor(OpenedModel.of(model, noise.images), batch_size)


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_predictions_are_those_of_the_model(noise: LabelledImages, activation: str | None) -> None:
    opened = predictor(dense(activation), noise)
    predictions = predicted(opened, noise.images, noise.labels)
    expected = log_softmax(dense().predict(noise.images, verbose=0).astype(float), axis=1)
    np.testing.assert_allclose(predictions.log_probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(predictions.labels, noise.labels)
    assert opened.opened.returns_probabilities == (activation == "softmax")


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_one_unit_scores_two_classes(noise: LabelledImages, activation: str | None) -> None:
    predictions = predicted(predictor(dense(activation, units=1), noise), noise.images, noise.labels % 2)
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
    np.testing.assert_array_equal(batch.wrong, predicted(opened, noise.images, noise.labels).misclassified)
    assert batch.every_map is None
    assert batch.true_maps.shape == batch.predicted_maps.shape == (len(batch.wrong), 0, 0)


def test_images_are_predicted_batch_by_batch(noise: LabelledImages, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    opened = predictor(dense(), noise, batch_size=10)
    compiled = opened._run
    monkeypatch.setattr(opened, "_run", lambda images: sizes.append(len(images)) or compiled(images))
    opened.scores(noise.images)
    assert sizes == [10, 10, 3]


def test_an_unknown_class_is_refused(noise: LabelledImages) -> None:
    with pytest.raises(DataError, match=r"A class must be 0 to 4: the model scores 5. Received: classes .* to 5"):
        predictor(dense(), noise).explain(noise.images, noise.labels + 1)


def test_features_are_what_the_last_layer_with_weights_receives(noise: LabelledImages) -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(5), L.Softmax()]
    )
    inner = keras.Model(model.inputs, model.layers[-2].input)
    features = predictor(model, noise).explain(noise.images, noise.labels).features
    np.testing.assert_allclose(features, inner.predict(noise.images, verbose=0), rtol=1e-4, atol=1e-3)


def test_features_of_a_convolution_are_averaged_over_places(noise: LabelledImages) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.Conv2D(5, 1), L.GlobalAveragePooling2D()])
    inner = keras.Model(model.inputs, model.layers[-2].input)
    features = predictor(model, noise).explain(noise.images, noise.labels).features
    expected = inner.predict(noise.images, verbose=0).mean(axis=(1, 2))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-3)


def test_many_features_are_projected_and_keep_their_distances(noise: LabelledImages) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(32, 3, activation="relu"), L.Flatten(), L.Dense(5)])
    inner = keras.Model(model.inputs, model.layers[-1].input)
    features = predictor(model, noise).explain(noise.images, noise.labels).features
    assert features.shape == (23, 512)
    before, after = (pdist(each) for each in (inner.predict(noise.images, verbose=0), features))
    np.testing.assert_allclose(after, before, rtol=0.2)


def test_a_model_that_receives_only_the_image_has_no_features(noise: LabelledImages) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(5, 8), L.Flatten()])
    assert predictor(model, noise).explain(noise.images, noise.labels).features.shape == (23, 0)
