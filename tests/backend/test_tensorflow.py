"""One compiled pass: the batch changes nothing, and nothing is traced twice."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.explain.gradcam import GradCAM
from lrdiag.record.arrays import LabelledImages

L = keras.layers


@pytest.mark.parametrize("batch_size", [1, 256])
def test_the_batch_size_changes_nothing(
    logits_net: keras.Model, noise: LabelledImages, explained: Any, batch_size: int
) -> None:
    expected_predictions, expected = explained
    told: list[int] = []
    explainer = GradCAM(logits_net, batch_size=batch_size)
    predictions, heatmaps = explainer.predict_and_explain(noise, on_batch=lambda batch: told.append(len(batch.scores)))
    assert told == ([1] * 23 if batch_size == 1 else [23])
    np.testing.assert_allclose(predictions.log_probabilities, expected_predictions.log_probabilities, atol=1e-6)
    np.testing.assert_array_equal(heatmaps.indices, expected.indices)
    np.testing.assert_allclose(heatmaps.signed_predicted, expected.signed_predicted, atol=1e-7)
    np.testing.assert_allclose(heatmaps.signed_true, expected.signed_true, atol=1e-7)
    np.testing.assert_allclose(heatmaps.means.right, expected.means.right, atol=1e-5)
    np.testing.assert_allclose(heatmaps.means.wrong, expected.means.wrong, atol=1e-5)


def test_the_other_images_of_a_batch_have_no_say(explainer: GradCAM, noise: LabelledImages) -> None:
    together = explainer.maps(noise.images, noise.labels, signed=True)
    for place in (0, 9, 22):
        alone = explainer.maps(noise.images[place : place + 1], noise.labels[place : place + 1], signed=True)
        np.testing.assert_allclose(together[place : place + 1], alone, atol=1e-7)
    blank = np.concatenate([noise.images[:1], np.zeros_like(noise.images[1:])])
    np.testing.assert_allclose(explainer.maps(blank, noise.labels, signed=True)[0], together[0], atol=1e-7)


@pytest.mark.parametrize("compiled_anew", [False, True], ids=["same-explainer", "another-explainer"])
def test_two_runs_are_equal_bit_for_bit(
    logits_net: keras.Model, explainer: GradCAM, noise: LabelledImages, explained: Any, compiled_anew: bool
) -> None:
    again = GradCAM(logits_net, batch_size=10) if compiled_anew else explainer
    (first, first_maps), (second, second_maps) = explained, again.predict_and_explain(noise)
    np.testing.assert_array_equal(first.log_probabilities, second.log_probabilities)
    np.testing.assert_array_equal(first_maps.signed_predicted, second_maps.signed_predicted)
    np.testing.assert_array_equal(first_maps.signed_true, second_maps.signed_true)
    np.testing.assert_array_equal(first_maps.means.right, second_maps.means.right)


class Counting(keras.Model):
    """Counts how often its Python code runs: once each time that it is called eagerly or traced."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.head = L.Conv2D(6, 3), L.Dense(5)
        self.pool = L.GlobalAveragePooling2D()
        self.calls = 0

    def call(self, inputs: Any) -> Any:
        self.calls += 1
        return self.head(self.pool(self.convolution(keras.ops.cast(inputs, "float32"))))


def test_a_model_is_traced_once_however_many_batches_there_are(noise: LabelledImages) -> None:
    """Though the last one is smaller."""
    model = Counting()
    explainer = GradCAM(model, batch_size=10)
    explainer.maps(noise.images[:1], noise.labels[:1])
    opened = model.calls
    explainer.maps(noise.images, noise.labels)
    explainer.maps(noise.images[:3], noise.labels[:3], signed=True)
    assert model.calls == opened, "another number of images is no reason"
    for size in (10, 23):
        explainer.predict_and_explain(noise.images[:size], noise.labels[:size])
        assert model.calls == opened + 1, "mistakes are explained by a pass of their own"
    explainer.maps(noise.images)
    explainer.maps(noise.images[:7])
    assert model.calls == opened + 2, "and so are predicted classes"
    explainer.maps(noise.images.astype("float32"), noise.labels)
    explainer.maps(noise.images[:, 1:], noise.labels)
    assert model.calls == opened + 4, "images of another type or size take one more each"
