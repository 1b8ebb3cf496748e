"""Grad-CAM of the mistakes on real images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.data.sources.cifar10 import Cifar10
from lrdiag.explain.gradcam import GradCAM
from lrdiag.models import build_network
from lrdiag.models.fast import FEATURE_SCALE
from lrdiag.progress import Silence
from lrdiag.record.arrays import Heatmaps, LabelledImages, Predictions


@pytest.fixture(scope="module")
def trained(real_images: Path) -> tuple[keras.Model, LabelledImages]:
    """The `fast` network after one epoch of 1,000 images, and every twentieth of the test images."""
    dataset = Cifar10(real_images).load(Silence())
    train, test = dataset.train.take(np.arange(0, 50_000, 50)), dataset.test.take(np.arange(0, 10_000, 20))
    keras.utils.set_random_seed(0)
    model = build_network("fast", train, classes=10).model
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
    model.fit(train.images, train.labels, batch_size=32, epochs=1, verbose=0)
    return model, test


@pytest.fixture(scope="module")
def explained(trained: tuple[keras.Model, LabelledImages]) -> tuple[Predictions, Heatmaps]:
    model, test = trained
    return GradCAM(model, batch_size=128).predict_and_explain(test)


def test_mistakes_are_explained_at_the_last_map_of_the_network(
    trained: tuple[keras.Model, LabelledImages], explained: Any, feature_maps: Callable, closed_form: Callable
) -> None:
    """Before global pooling and one dense layer, `alpha_k` is the sum of the weights of maximum and average / (H W)."""
    model, test = trained
    scores = model.predict(test.images, verbose=0)
    wrong = np.flatnonzero(scores.argmax(axis=1) != test.labels)
    assert 150 < len(wrong) < 450, "it has learned something, but not much"
    predictions, heatmaps = explained
    np.testing.assert_array_equal(heatmaps.indices, wrong)
    np.testing.assert_array_equal(predictions.predicted, scores.argmax(axis=1))
    maps = feature_maps(model, heatmaps.layer, test.images[wrong])
    of_max, of_average = np.split(model.get_layer("logits").kernel.numpy(), 2)
    kernel = of_max + of_average
    for signed, classes in (
        (heatmaps.signed_predicted, predictions.predicted[wrong]),
        (heatmaps.signed_true, test.labels[wrong]),
    ):
        expected = FEATURE_SCALE * closed_form(maps, kernel, classes)
        np.testing.assert_allclose(signed, expected, atol=1e-5 * np.abs(expected).max())
    assert (heatmaps.predicted.max(axis=(1, 2)) > 0).mean() > 0.9


def test_maps_depend_on_the_class(explained: Any) -> None:
    _, heatmaps = explained
    flat = (each.reshape(len(each), -1) for each in (heatmaps.signed_predicted, heatmaps.signed_true))
    correlations = [np.corrcoef(one, other)[0, 1] for one, other in zip(*flat, strict=True)]
    assert np.median(correlations) < 0.9
    assert heatmaps.means.right.shape == heatmaps.means.wrong.shape == (10, *heatmaps.predicted.shape[1:])
    assert heatmaps.means.wrong.any(axis=(1, 2)).all()
