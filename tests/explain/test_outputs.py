"""What the outputs of a model mean: confidence, decision and loss for every kind of head and loss."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import expit, log_softmax

from lrdiag.explain.outputs import Outputs
from lrdiag.record.arrays import CROSS_ENTROPY, Predictions

losses = keras.losses
RAW = np.array([[2.0, -1.0, 0.5], [-3.0, 0.25, 0.0], [0.5, 0.75, -1.0], [1.0, 4.0, 2.0]])
LABELS = np.array([0, 2, 1, 0])
ONE_HOT = np.eye(3)[LABELS]
PROBABILITIES = np.exp(log_softmax(RAW, axis=1))
SMALL = RAW / 10 + 0.4  # between 0 and 1, as a regression may return


def read(raw: np.ndarray, activation: Any, loss: Any, labels: np.ndarray = LABELS, **others: Any) -> Predictions:
    facts = {"threshold": 0.0, "is_closed": False} | others
    return Outputs(raw, activation, loss=loss, labels=labels, **facts).predictions()


@pytest.mark.parametrize("loss", [None, losses.BinaryCrossentropy()])
def test_the_confidence_of_a_sigmoid_per_class_is_its_own_value(loss: Any) -> None:
    predictions = read(RAW, "sigmoid", loss)
    np.testing.assert_allclose(predictions.confidence, expit(RAW.max(axis=1)))
    expected = -(ONE_HOT * np.log(expit(RAW)) + (1 - ONE_HOT) * np.log(expit(-RAW))).mean(axis=1)
    np.testing.assert_allclose(predictions.losses, expected)
    assert predictions.loss_name == "binary cross-entropy over the classes, nats"
    assert "its own sigmoid" in predictions.notes[0]


def test_logits_of_sigmoids_are_recognised_by_the_loss() -> None:
    logits = read(RAW, "none", losses.BinaryCrossentropy(from_logits=True))
    expected = read(RAW, "sigmoid", losses.BinaryCrossentropy())
    np.testing.assert_allclose(logits.confidence, expected.confidence)
    np.testing.assert_allclose(logits.losses, expected.losses)


def test_probabilities_of_classes_that_no_layer_computes_are_taken_as_they_are() -> None:
    predictions = read(expit(RAW), "none", losses.BinaryCrossentropy())
    np.testing.assert_allclose(predictions.confidence, expit(RAW.max(axis=1)))
    np.testing.assert_allclose(predictions.losses, read(RAW, "sigmoid", None).losses)


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("softmax", losses.MeanSquaredError()),
        ("softmax", losses.CategoricalCrossentropy(label_smoothing=0.2)),
        ("softmax", losses.CategoricalFocalCrossentropy()),
        ("none", losses.CategoricalHinge()),
        ("none", losses.SquaredHinge()),
        ("none", losses.MeanSquaredError()),
        ("none", losses.Huber()),
        ("none", losses.mean_absolute_error),
    ],
)
def test_another_loss_than_the_cross_entropy_is_that_of_keras(activation: Any, loss: Any) -> None:
    """Only a softmax gives probabilities: a regression whose outputs lie between 0 and 1 gives none."""
    raw = SMALL if activation == "none" else RAW
    predictions = read(raw, activation, loss)
    returned = PROBABILITIES if activation == "softmax" else raw
    expected = float(np.mean(loss(ONE_HOT.astype("float32"), returned.astype("float32"))))
    assert predictions.losses.mean() == pytest.approx(expected, rel=1e-5)
    assert str(predictions.loss_name).startswith("compiled loss (")
    if activation == "softmax":
        np.testing.assert_allclose(predictions.confidence, PROBABILITIES.max(axis=1))
        assert predictions.notes == ()
    else:
        assert np.isnan(predictions.confidence).all()
        assert predictions.log_probabilities is None
        assert "Confidence and calibration are unknown." in predictions.notes[0]
    np.testing.assert_array_equal(predictions.predicted, raw.argmax(axis=1))


def test_keras_reads_the_logits_of_a_softmax_in_a_binary_cross_entropy() -> None:
    predictions = read(RAW, "softmax", losses.BinaryCrossentropy())
    np.testing.assert_allclose(predictions.losses, read(RAW, "sigmoid", None).losses, rtol=1e-5)
    np.testing.assert_allclose(predictions.confidence, PROBABILITIES.max(axis=1))


def test_keras_reads_the_logits_of_sigmoids_in_a_categorical_cross_entropy() -> None:
    predictions = read(RAW, "sigmoid", losses.CategoricalCrossentropy())
    np.testing.assert_allclose(predictions.losses, -log_softmax(RAW, axis=1)[np.arange(4), LABELS], rtol=1e-5)
    np.testing.assert_allclose(predictions.confidence, expit(RAW.max(axis=1)))


def cross_entropy(true: Any, returned: Any) -> Any:
    return keras.ops.categorical_crossentropy(true, returned, from_logits=True)


def test_the_meaning_of_a_custom_loss_is_measured() -> None:
    softmax = read(RAW, "none", cross_entropy)
    np.testing.assert_allclose(softmax.confidence, PROBABILITIES.max(axis=1))
    whole = read(RAW, "none", lambda true, returned: keras.ops.mean(cross_entropy(true, returned)))
    np.testing.assert_allclose(whole.confidence, softmax.confidence)
    assert whole.loss_name == CROSS_ENTROPY
    binary = read(RAW, "none", lambda t, r: keras.ops.mean(keras.ops.binary_crossentropy(t, r, from_logits=True), -1))
    np.testing.assert_allclose(binary.confidence, expit(RAW.max(axis=1)))
    other = read(RAW, "none", lambda true, returned: keras.ops.mean((true - returned) ** 4))
    assert np.isnan(other.confidence).all()
    assert other.loss_name is None
    assert np.isnan(other.losses).all()


def test_without_a_loss_the_mistakes_are_ordered_by_the_margin() -> None:
    predictions = read(SMALL, "none", None)
    assert (predictions.log_probabilities, predictions.loss_name) == (None, None)
    assert "not logits" in predictions.notes[0] or "nor logits" in predictions.notes[0]
    assert predictions.ranked_mistakes.tolist() == [3, 1]  # margins of 0.3 and 0.025
    assert read(np.zeros((4, 3)), "none", None).loss_name == CROSS_ENTROPY  # an untrained last layer


@pytest.mark.parametrize(
    ("activation", "loss", "threshold", "confident"),
    [
        ("sigmoid", None, 0.0, True),
        ("none", losses.BinaryCrossentropy(from_logits=True), 0.0, True),
        ("none", losses.Hinge(), 0.0, False),
        ("none", losses.MeanSquaredError(), 0.5, False),
        ("sigmoid", losses.BinaryCrossentropy(), 1.5, True),
    ],
)
def test_one_unit_decides_at_its_threshold(activation: Any, loss: Any, threshold: float, confident: bool) -> None:
    raw, labels = np.array([[-1.0], [0.25], [0.75], [2.0]]), np.array([0, 0, 1, 1])
    predictions = read(raw, activation, loss, labels, threshold=threshold)
    np.testing.assert_array_equal(predictions.predicted, raw[:, 0] > threshold)
    if confident:
        own = expit(raw[:, 0])
        np.testing.assert_allclose(predictions.confidence, np.where(predictions.predicted, own, 1 - own))
        np.testing.assert_allclose(predictions.losses, -np.log(np.where(labels, own, 1 - own)))
    else:
        assert np.isnan(predictions.confidence).all()
        assert np.isfinite(predictions.losses).all()


def test_an_image_whose_scores_are_not_finite_is_class_0() -> None:
    raw = np.array([[0.0, np.nan, 1.0], [1.0, np.inf, 0.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    for loss in (None, losses.CategoricalHinge()):
        assert read(raw, "none", loss).predicted.tolist() == [0, 0, 2, 2]
