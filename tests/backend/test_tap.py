"""Explaining a model does not change it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.backend.graph import parts
from lrdiag.backend.tap import tapped
from lrdiag.errors import DataError
from lrdiag.explain.gradcam import GradCAM
from lrdiag.record.arrays import LabelledImages, Predictions

L = keras.layers
Snapshot = Callable[[keras.Model], dict[str, dict[str, int]]]


def test_a_tap_sees_and_changes_the_output_of_a_layer(kind: tuple[keras.Model, str], noise: LabelledImages) -> None:
    """Fails if Keras no longer calls a layer by its attribute `call`."""
    model, path = kind
    before = keras.ops.convert_to_numpy(model(noise.images, training=False))
    layer = dict(parts(model))[path]
    outputs: list[Any] = []
    with tapped(layer, lambda output: outputs.append(output) or keras.ops.zeros_like(output)):
        changed = keras.ops.convert_to_numpy(model(noise.images, training=False))
    assert len(outputs) == 1
    assert (changed != before).any()
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(noise.images, training=False)), before)


def test_explaining_leaves_every_layer_unchanged(
    kind: tuple[keras.Model, str], noise: LabelledImages, snapshot: Snapshot
) -> None:
    model, layer = kind
    expected = model.predict(noise.images, verbose=0)
    weights, before = model.get_weights(), snapshot(model)
    predictions, heatmaps = GradCAM(model).predict_and_explain(noise)
    assert snapshot(model) == before
    np.testing.assert_array_equal(model.predict(noise.images, verbose=0), expected)
    expected_predictions = Predictions.from_scores(expected, noise.labels)
    np.testing.assert_allclose(predictions.log_probabilities, expected_predictions.log_probabilities, atol=1e-5)
    assert heatmaps.layer == layer
    assert heatmaps.predicted.max() > 0
    for now, then in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("each_head", ["softmax-layer", "dense-softmax", "log-softmax"], indirect=True)
def test_a_removed_softmax_is_restored(each_head: keras.Model, noise: LabelledImages, snapshot: Snapshot) -> None:
    expected = np.asarray(each_head(noise.images, training=False))
    before = snapshot(each_head)
    explainer = GradCAM(each_head)
    explainer.maps(noise.images)
    assert snapshot(each_head) == before
    np.testing.assert_array_equal(each_head(noise.images, training=False), expected)


def test_a_bare_operation_is_restored(noise: LabelledImages, snapshot: Snapshot) -> None:
    """The explained operation and the removed softmax."""
    inputs = keras.Input((8, 8, 3))
    features = L.Conv2D(6, 3)(inputs / 255.0)
    pooled = L.GlobalAveragePooling2D()(features + keras.ops.square(features))
    model = keras.Model(inputs, keras.ops.softmax(L.Dense(5)(pooled)))
    expected, before = keras.ops.convert_to_numpy(model(noise.images)), snapshot(model)
    explainer = GradCAM(model)
    explainer.maps(noise.images)
    assert (explainer.layer or "").startswith("add")
    assert snapshot(model) == before
    np.testing.assert_array_equal(model(noise.images), expected)


def test_a_model_that_raises_is_restored(subclassed: Any, noise: LabelledImages, snapshot: Snapshot) -> None:
    """At any time: while the softmax or the layer is searched, or while the pass is compiled."""
    countdown = [0]

    class Moody(subclassed):
        def call(self, inputs: Any) -> Any:
            outputs = super().call(inputs)
            countdown[0] -= 1
            if countdown[0] == 0:
                raise ArithmeticError("no")
            return outputs

    model = Moody()
    expected = keras.ops.convert_to_numpy(model(noise.images))
    before = snapshot(model)
    for raises_at in range(1, 100):
        countdown[0] = raises_at
        explainer = GradCAM(model)
        try:
            explainer.maps(noise.images)
        except ArithmeticError:
            assert snapshot(model) == before
            np.testing.assert_array_equal(model(noise.images), expected)
        else:
            break
    assert raises_at > 4, "it is called to open it, to find the layer, and to compile the pass"
    assert snapshot(model) == before


def test_data_that_raises_leaves_the_model_unchanged(
    own_net: keras.Model, noise: LabelledImages, snapshot: Snapshot
) -> None:
    expected, before = own_net.predict(noise.images, verbose=0), snapshot(own_net)
    explainer = GradCAM(own_net)
    with pytest.raises(DataError, match="A class must be 0 to 4"):
        explainer.predict_and_explain(iter([(noise.images, noise.labels), (noise.images, noise.labels + 1)]))
    assert snapshot(own_net) == before
    np.testing.assert_array_equal(own_net.predict(noise.images, verbose=0), expected)
    assert len(explainer.predict_and_explain(noise)[0].labels) == 23


def noisy_net() -> keras.Model:
    """A net with augmentation and dropout, which draw random numbers in training."""
    keras.utils.set_random_seed(1)
    layers = [L.RandomFlip(), L.Conv2D(6, 3, activation="relu"), L.BatchNormalization(), L.Dropout(0.5), L.Flatten()]
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Rescaling(1 / 255), *layers, L.Dense(5, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_explaining_does_not_change_training(noise: LabelledImages) -> None:
    """Bit for bit, before training and between epochs."""
    losses, weights = [], []
    for explained in (True, False):
        model = noisy_net()
        keras.utils.set_random_seed(2)
        explainer = GradCAM(model)
        for _ in range(2):
            if explained:
                explainer.maps(noise.images)
            losses.append(model.fit(noise.images, noise.labels, batch_size=8, verbose=0).history["loss"])
        weights.append(model.get_weights())
    assert losses[:2] == losses[2:]
    assert losses[0] != losses[1]
    for explained, twin in zip(*weights, strict=True):
        np.testing.assert_array_equal(explained, twin)


def test_no_random_number_is_drawn(noise: LabelledImages) -> None:
    def drawn() -> tuple[float, float, float]:
        return random.random(), np.random.random(), float(keras.random.uniform(()))  # noqa: NPY002

    model = noisy_net()
    keras.utils.set_random_seed(3)
    expected = drawn()
    keras.utils.set_random_seed(3)
    GradCAM(model).maps(noise.images)
    assert drawn() == expected


def test_training_noise_is_off_while_explaining(noise: LabelledImages) -> None:
    """Layers run as in `predict`: without dropout, augmentation and batch statistics."""
    model = noisy_net()
    predictions, _ = GradCAM(model).predict_and_explain(noise)
    expected = model.predict(noise.images, verbose=0)
    np.testing.assert_allclose(np.exp(predictions.log_probabilities), expected, atol=1e-6)
