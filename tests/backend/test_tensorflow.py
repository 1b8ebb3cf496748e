"""One compiled pass: the batch size changes nothing, and nothing is traced twice."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.backend.engine import engine
from lrdiag.errors import SettingsError
from lrdiag.explain.gradcam import GradCAM
from lrdiag.record.arrays import LabelledImages

L = keras.layers


@pytest.mark.parametrize("batch_size", [1, 256])
def test_the_batch_size_changes_nothing(
    logits_net: keras.Model, noise: LabelledImages, explained: Any, batch_size: int
) -> None:
    expected_predictions, expected = explained
    sizes: list[int] = []
    explainer = GradCAM(logits_net, batch_size=batch_size)
    predictions, heatmaps = explainer.predict_and_explain(noise, on_batch=lambda batch: sizes.append(len(batch.scores)))
    assert sizes == ([1] * 23 if batch_size == 1 else [23])
    np.testing.assert_allclose(predictions.log_probabilities, expected_predictions.log_probabilities, atol=1e-6)
    np.testing.assert_array_equal(heatmaps.indices, expected.indices)
    np.testing.assert_allclose(heatmaps.signed_predicted, expected.signed_predicted, atol=1e-7)
    np.testing.assert_allclose(heatmaps.signed_true, expected.signed_true, atol=1e-7)
    np.testing.assert_allclose(heatmaps.means.right, expected.means.right, atol=1e-5)
    np.testing.assert_allclose(heatmaps.means.wrong, expected.means.wrong, atol=1e-5)


def test_the_other_images_of_a_batch_change_nothing(explainer: GradCAM, noise: LabelledImages) -> None:
    together = explainer.maps(noise.images, noise.labels, signed=True)
    for place in (0, 9, 22):
        alone = explainer.maps(noise.images[place : place + 1], noise.labels[place : place + 1], signed=True)
        np.testing.assert_allclose(together[place : place + 1], alone, atol=1e-7)
    blank = np.concatenate([noise.images[:1], np.zeros_like(noise.images[1:])])
    np.testing.assert_allclose(explainer.maps(blank, noise.labels, signed=True)[0], together[0], atol=1e-7)


@pytest.mark.parametrize("compiled_again", [False, True], ids=["same-explainer", "another-explainer"])
def test_two_runs_are_equal_bit_for_bit(
    logits_net: keras.Model, explainer: GradCAM, noise: LabelledImages, explained: Any, compiled_again: bool
) -> None:
    again = GradCAM(logits_net, batch_size=10) if compiled_again else explainer
    (first, first_maps), (second, second_maps) = explained, again.predict_and_explain(noise)
    np.testing.assert_array_equal(first.log_probabilities, second.log_probabilities)
    np.testing.assert_array_equal(first_maps.signed_predicted, second_maps.signed_predicted)
    np.testing.assert_array_equal(first_maps.signed_true, second_maps.signed_true)
    np.testing.assert_array_equal(first_maps.means.right, second_maps.means.right)


class Counting(keras.Model):
    """Counts how often its Python code runs: whenever it is called eagerly or traced."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.head = L.Conv2D(6, 3), L.Dense(5)
        self.pool = L.GlobalAveragePooling2D()
        self.calls = 0

    def call(self, inputs: Any) -> Any:
        self.calls += 1
        return self.head(self.pool(self.convolution(keras.ops.cast(inputs, "float32"))))


def test_a_model_is_traced_once_for_any_number_of_batches(noise: LabelledImages) -> None:
    """The last batch is smaller."""
    model = Counting()
    explainer = GradCAM(model, batch_size=10)
    explainer.maps(noise.images[:1], noise.labels[:1])
    opened = model.calls
    explainer.maps(noise.images, noise.labels)
    explainer.maps(noise.images[:3], noise.labels[:3], signed=True)
    assert model.calls == opened, "another number of images does not trace again"
    for size in (10, 23):
        explainer.predict_and_explain(noise.images[:size], noise.labels[:size])
        assert model.calls == opened + 1, "mistakes are explained by another pass"
    explainer.maps(noise.images)
    explainer.maps(noise.images[:7])
    assert model.calls == opened + 1, "predicted classes are explained by the same pass"
    explainer.maps(noise.images.astype("float32"), noise.labels)
    explainer.maps(noise.images[:, 1:], noise.labels)
    assert model.calls == opened + 3, "images of another type or size are traced once each"


def test_a_compiled_pass_gives_the_same_as_an_eager_pass(kind: tuple[keras.Model, str], noise: LabelledImages) -> None:
    """Other tests run their passes eagerly."""
    model, _ = kind
    results = []
    for eager in (False, True):
        tf.config.run_functions_eagerly(eager)
        try:
            explainer = GradCAM(model)
            predictions, heatmaps = explainer.predict_and_explain(noise)
            maps = [explainer.maps(noise.images, classes, signed=True) for classes in (None, noise.labels)]
            results.append((predictions.log_probabilities, heatmaps.signed_predicted, heatmaps.signed_true, *maps))
        finally:
            tf.config.run_functions_eagerly(False)
    for compiled, eager in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, eager, atol=1e-6)


def test_the_gradient_is_that_at_delta_zero() -> None:
    """`sum((features + delta)²)` has the gradient `2 features`, and a call that it does not depend on has `None`."""
    inputs = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")

    def forward(images: Any, delta: Any) -> tuple[Any, list[Any]]:
        first, second = keras.ops.convert_to_tensor(images), 3 * keras.ops.convert_to_tensor(images)
        used, _ignored = first + delta(first), second + delta(second)
        return used**2, [first, second]

    scores, features, gradients = engine().with_gradients(
        forward, inputs, lambda scores: [scores[:, 0], keras.ops.sum(scores, axis=1)]
    )
    np.testing.assert_array_equal(scores, inputs**2)
    np.testing.assert_array_equal(features[1], 3 * inputs)
    np.testing.assert_array_equal(gradients[0][0], [[2, 0], [6, 0]])
    np.testing.assert_array_equal(gradients[1][0], 2 * inputs)
    assert gradients[0][1] is gradients[1][1] is None


def test_another_backend_of_keras_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "openvino")
    engine.cache_clear()
    with pytest.raises(SettingsError, match=r"tensorflow, jax, torch.*KERAS_BACKEND.*Received: .* 'openvino'"):
        engine()
