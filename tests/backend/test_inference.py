"""`predict` and `evaluate` of a model, which they leave as it was. Private parts of Keras are involved."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.backend.inference import binary_threshold, evaluate, has_loss_weights, state_kept, unnoticed, with_logits

L = keras.layers
IMAGES, LABELS = np.random.default_rng(0).random((12, 4), "float32"), np.arange(12) % 3


class Random(keras.Model):  # type: ignore[misc]
    """Drops values at inference too."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.dense = L.Dropout(0.5), L.Dense(3, activation="softmax", kernel_regularizer="l2")

    def call(self, inputs: Any) -> Any:
        return self.dense(self.dropout(inputs, training=True))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    net = Random()
    net.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    net.fit(IMAGES, LABELS, verbose=0)
    return net


def values(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(keras.ops.copy(each)) for each in model.variables]


def test_the_model_is_left_as_it_was(model: keras.Model) -> None:
    before, metrics = dict(vars(model)), model.get_metrics_result()
    variables = values(model)
    with unnoticed(model):
        model.evaluate(IMAGES[:3], LABELS[:3], verbose=0)
        model.predict(IMAGES, verbose=0)
    assert all(vars(model)[name] is value for name, value in before.items())
    assert vars(model).keys() == before.keys()
    assert model.get_metrics_result() == metrics
    assert all((after == value).all() for after, value in zip(values(model), variables, strict=True))


def test_two_calls_of_a_random_model_give_the_same_if_its_state_is_kept(model: keras.Model) -> None:
    outputs = []
    for _ in range(2):
        with state_kept(model):
            outputs.append(keras.ops.convert_to_numpy(model(IMAGES)))
    np.testing.assert_array_equal(*outputs)
    first, second = (keras.ops.convert_to_numpy(model(IMAGES)) for _ in range(2))
    assert not np.array_equal(first, second)


def test_an_evaluation_tells_the_loss_from_the_regularization(model: keras.Model) -> None:
    metric = keras.metrics.SparseCategoricalAccuracy()
    loss, extra = evaluate(model, IMAGES, LABELS, metric)
    assert extra == pytest.approx(0.01 * float(np.square(model.dense.kernel).sum()), rel=1e-5)
    assert loss > extra > 0
    assert float(metric.count) == 12


def test_the_compiled_metrics_and_weights_are_read() -> None:
    net = keras.Sequential([keras.Input((4,)), L.Dense(1)])
    assert binary_threshold(net) is None
    for metrics, expected in (
        (["accuracy"], 0.5),
        (["mae"], None),
        ([keras.metrics.BinaryAccuracy(threshold=0.75), "mae"], 0.75),
    ):
        net.compile("sgd", "mse", metrics=metrics)
        assert binary_threshold(net) == expected
        assert not has_loss_weights(net)
    net.compile("sgd", "mse", loss_weights=2.0)
    assert has_loss_weights(net)


def test_the_losses_of_keras_use_the_logits_of_marked_outputs() -> None:
    logits, wrong = keras.ops.convert_to_tensor([[1.0, 3.0]]), keras.ops.convert_to_tensor([[0.5, 0.5]])
    loss = keras.losses.SparseCategoricalCrossentropy()
    assert float(loss(np.array([0]), with_logits(wrong, logits))) == pytest.approx(np.log1p(np.exp(2)))
    unmarked = with_logits(keras.ops.convert_to_tensor([[0.5, 0.5]]), None)
    assert float(loss(np.array([0]), unmarked)) == pytest.approx(np.log(2))
