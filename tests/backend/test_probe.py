"""One forward and backward pass: losses and gradients that are known exactly, and a model that stays as it was."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.backend.probe import probe
from lrdiag.errors import ModelError

L = keras.layers
ONES, ZEROS = np.ones((4, 2), "float32"), np.zeros((4, 1), "float32")


def linear(**kwargs: Any) -> tuple[keras.Model, keras.layers.Layer]:
    """A model that returns the sum of its two inputs."""
    dense = L.Dense(1, use_bias=False, kernel_initializer="ones", **kwargs)
    model = keras.Sequential([keras.Input((2,)), dense])
    model.compile("sgd", loss="mse", metrics=["mae"])
    return model, dense


def test_loss_activations_and_gradients_of_a_batch() -> None:
    model, dense = linear()
    probed = probe(model, ONES, ZEROS, {"sum": dense})
    assert probed.loss == 4.0
    np.testing.assert_array_equal(probed.outputs, np.full((4, 1), 2.0))
    np.testing.assert_array_equal(probed.activations["sum"], [np.full((4, 1), 2.0)])
    np.testing.assert_array_equal(probed.gradients["sum"], [np.full((4, 1), 1.0)])  # 2 · 2 / 4 images
    np.testing.assert_array_equal(probed.weights, [np.ones((2, 1))])
    np.testing.assert_array_equal(probed.weight_gradients, [np.full((2, 1), 4.0)])


def test_regularization_and_weights_of_examples_are_part_of_the_loss() -> None:
    model, _ = linear(kernel_regularizer=keras.regularizers.L2(0.5))
    weighted = probe(model, ONES, ZEROS, {}, sample_weight=np.array([2.0, 0, 0, 0], "float32"))
    assert weighted.loss == pytest.approx(2.0 * 4 / 4 + 0.5 * 2)
    np.testing.assert_allclose(weighted.weight_gradients[0], 2 * (2.0 * 2 / 4) + 2 * 0.5)


def test_what_the_loss_does_not_depend_on_has_no_gradient() -> None:
    inputs = keras.Input((2,))
    unused, shared = L.Dense(3, name="unused"), L.Dense(2, use_bias=False)
    outputs = L.Add()([shared(shared(inputs)), 0 * keras.ops.stop_gradient(unused(inputs)[:, :2])])
    model = keras.Model(inputs, outputs)
    model.compile(loss="mse")
    probed = probe(model, ONES, np.zeros((4, 2)), {"unused": unused, "shared": shared})
    assert probed.gradients["unused"] == [None]
    assert [each is None for each in probed.gradients["shared"]] == [False, False]
    assert [each is None for each in probed.weight_gradients] == [each is not shared.kernel for each in model.weights]


def test_the_model_stays_as_it_was() -> None:
    model = keras.Sequential(
        [
            keras.Input((2,)),
            L.Dense(4),
            L.BatchNormalization(),
            L.Dropout(0.5, seed=1),
            L.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(ONES, np.zeros(4), verbose=0)
    before = [keras.ops.convert_to_numpy(each).copy() for each in (*model.variables, *model.metrics_variables)]
    twice = [probe(model, ONES, np.array([0, 1, 2, 0]), {"all": model.layers[0]}).loss for _ in range(2)]
    assert twice[0] == twice[1]
    after = [keras.ops.convert_to_numpy(each) for each in (*model.variables, *model.metrics_variables)]
    for earlier, later in zip(before, after, strict=True):
        np.testing.assert_array_equal(earlier, later)


def test_a_model_that_is_not_compiled_is_refused() -> None:
    with pytest.raises(ModelError, match=r"built and compiled.*isn't compiled"):
        probe(keras.Sequential([keras.Input((2,)), L.Dense(1)]), ONES, ZEROS, {})
