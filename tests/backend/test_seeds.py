"""Random states of Python, numpy and Keras. The tests fail if Keras moves its private ones."""

from __future__ import annotations

import random

import keras
import numpy as np
import tensorflow as tf

from lrdiag.backend.seeds import RandomState, layer_seed


def draw() -> tuple[float, ...]:
    """Draws from Python, numpy and Keras."""
    return random.random(), float(np.random.random()), float(keras.random.uniform(()))  # noqa: NPY002


def test_restoring_repeats_the_same_draws() -> None:
    draw()  # creates Keras's global seed generator
    state = RandomState()
    expected = draw()
    assert draw() != expected
    state.restore()
    assert draw() == expected


def test_restoring_repeats_the_first_seed_of_keras() -> None:
    """`keras.utils.set_random_seed` removes the global seed generator."""
    keras.utils.set_random_seed(0)
    state = RandomState()
    expected = draw()
    state.restore()
    assert draw() == expected


def test_a_layer_has_a_seed_outside_and_inside_of_a_pipeline() -> None:
    layer = keras.layers.RandomCrop(2, 2, seed=7)
    assert layer_seed(layer) is layer.generator
    seeds = []

    def keep(element: tf.Tensor) -> tf.Tensor:
        layer.backend.set_backend("tensorflow")
        seeds.append(layer_seed(layer))
        layer.backend.reset()
        return element

    tf.data.Dataset.range(1).map(keep)
    assert hasattr(seeds[0], "next")
