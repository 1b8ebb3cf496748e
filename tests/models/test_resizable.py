"""Models that take images of any size share layers and weights with the given ones."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

from lrdiag.errors import ModelError
from lrdiag.models import at_any_size

L = keras.layers


def sequential() -> keras.Model:
    return keras.Sequential([keras.Input((16, 16, 3)), L.Conv2D(4, 3), L.GlobalMaxPooling2D(), L.Dense(2)])


def functional() -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    maps = keras.ops.relu(L.Conv2D(4, 3, padding="same")(inputs))
    both = L.Concatenate()([L.GlobalMaxPooling2D()(maps), L.GlobalAveragePooling2D()(maps)])
    return keras.Model(inputs, L.Dense(2)(both))


def nested() -> keras.Model:
    base = keras.Sequential([keras.Input((16, 16, 3)), L.Conv2D(4, 3), L.BatchNormalization()])
    return keras.Sequential([keras.Input((16, 16, 3)), base, L.GlobalMaxPooling2D(), L.Dense(2)])


class Own(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.body = sequential_without_input()

    def call(self, x: object) -> object:
        return self.body(x)


def sequential_without_input() -> keras.Model:
    return keras.Sequential([L.Conv2D(4, 3), L.GlobalMaxPooling2D(), L.Dense(2)])


@pytest.mark.parametrize("build", [sequential, functional, nested, Own, sequential_without_input])
def test_layers_and_weights_are_shared(build: Callable[[], keras.Model]) -> None:
    model = build()
    images = np.random.default_rng(0).normal(size=(5, 16, 16, 3)).astype("float32")
    before = np.asarray(model(images))
    resizable = at_any_size(model, (8, 8), 3, 2)
    assert resizable(images[:, :8, :8]).shape == (5, 2)
    np.testing.assert_array_equal(resizable(images), before)
    resizable.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    resizable.fit(images[:, :8, :8], np.arange(5) % 2, verbose=0)
    np.testing.assert_array_equal(model(images), resizable(images))
    assert not np.array_equal(model(images), before)


def test_layers_for_one_size_are_refused_with_the_reason() -> None:
    model = keras.Sequential([keras.Input((16, 16, 3)), L.Flatten(), L.Dense(2)], name="flat")
    with pytest.raises(ModelError, match=r"global pooling.*'flat', which raises for 8 × 8 pixels"):
        at_any_size(model, (8, 8), 3, 2)


def test_layers_that_leave_nothing_of_small_images_are_refused() -> None:
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), L.Conv2D(2, 1), L.AveragePooling2D(16), L.Flatten()], name="whole"
    )
    with pytest.raises(ModelError, match=r"'whole', which returns scores of shape \(1, 0\) for an image of 8 × 8"):
        at_any_size(model, (8, 8), 3, 2)
