"""What the tests of this room share: a regression small enough to be computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest


@pytest.fixture(scope="session")
def line() -> tuple[np.ndarray, np.ndarray]:
    """Ten points in two dimensions and their targets."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(10, 2)).astype("float32"), generator.normal(size=(10, 1)).astype("float32")


@pytest.fixture
def make_line() -> Callable[..., keras.Model]:
    """Makes a compiled linear regression with fixed weights."""

    def make(optimizer: Any = None, *, penalty: float = 0.0, **compile_arguments: Any) -> keras.Model:
        dense = keras.layers.Dense(1, use_bias=False, kernel_regularizer=keras.regularizers.L2(penalty))
        model = keras.Sequential([keras.Input((2,)), dense])
        dense.kernel.assign([[1.0], [-2.0]])
        model.compile(optimizer or keras.optimizers.SGD(0.1), **{"loss": "mse", **compile_arguments})
        return model

    return make
