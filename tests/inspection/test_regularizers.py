"""What is observed of the weights of a network."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

from lrdiag.inspection.network import penalty_gradient


def weight(regularizer: object, values: np.ndarray) -> keras.Variable:
    layer = kl.Dense(2, use_bias=False, kernel_regularizer=regularizer)
    layer.build((None, 2))
    layer.kernel.assign(values)
    return layer.kernel


VALUES = np.array([[1.0, -2.0], [3.0, 0.5]], np.float32)


class Cubes(keras.regularizers.Regularizer):
    def __call__(self, weights: object) -> object:
        return keras.ops.sum(keras.ops.abs(weights) ** 3)


@pytest.mark.parametrize(
    ("regularizer", "gradient"),
    [
        (keras.regularizers.L2(0.5), VALUES),
        (keras.regularizers.L1(0.5), 0.5 * np.sign(VALUES)),
        (keras.regularizers.L1L2(0.5, 0.5), VALUES + 0.5 * np.sign(VALUES)),
        (Cubes(), 3 * np.sum(np.abs(VALUES) ** 3) / np.sum(VALUES**2) * VALUES),  # its part along the weights
    ],
)
def test_the_gradient_of_a_regularizer(regularizer: object, gradient: np.ndarray) -> None:
    np.testing.assert_allclose(penalty_gradient(weight(regularizer, VALUES), VALUES), gradient, rtol=1e-3)


def test_no_gradient_without_a_regularizer() -> None:
    assert penalty_gradient(weight(None, VALUES), VALUES) is None
