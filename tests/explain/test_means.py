"""Mean heatmaps per class."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from lrdiag.errors import DataError
from lrdiag.explain.engine import Explained
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.means import RunningMeans
from lrdiag.record.arrays import LabelledImages


def batch(maps: list[list[list[float]]], wrong: list[int], classes: int = 2) -> Explained:
    every, missed = np.array(maps, "float32"), np.array(wrong, int)
    return Explained(
        np.zeros((len(maps), classes)), missed, every[missed], every[missed], every, np.empty((len(maps), 0))
    )


def test_each_map_is_scaled_to_its_peak() -> None:
    """Right: [1, 0] and [1/2, 1] of class 0. Wrong: [0, 1] of class 0, and a map without positive values."""
    means = RunningMeans()
    means.add(batch([[[4, 0]], [[0, 0.1]], [[-3, -2]]], wrong=[1, 2]), np.array([0, 0, 1]))
    means.add(batch([[[5, 10]]], wrong=[]), np.array([0]))
    found = means.result()
    assert found is not None
    assert found.right.tolist() == [[[0.75, 0.5]], [[0, 0]]]
    assert found.wrong.tolist() == [[[0, 1]], [[0, 0]]]
    assert found.right.dtype == found.wrong.dtype == np.float32


def test_without_maps_of_every_image_there_are_no_means() -> None:
    means = RunningMeans()
    means.add(batch([[[4, 0]]], wrong=[0])._replace(every_map=None), np.array([0]))
    assert means.result() is None


def test_maps_of_another_size_are_refused() -> None:
    means = RunningMeans()
    means.add(batch([[[4, 0]]], wrong=[]), np.array([0]))
    with pytest.raises(DataError, match=r"one size.*Received: maps of the shapes \(1, 2\) and \(2, 1\)"):
        means.add(batch([[[4], [0]]], wrong=[]), np.array([0]))


def test_the_means_are_those_of_the_maps_of_every_image(
    explainer: GradCAM, logits_net: keras.Model, noise: LabelledImages
) -> None:
    """For the predicted class. No image has class 4; class 2 is always right and class 3 always wrong."""
    maps = explainer.maps(noise.images)
    predicted = keras.ops.convert_to_numpy(logits_net(noise.images)).argmax(axis=1)
    labels = noise.labels % 4
    labels[predicted == 2] = 2
    labels[(predicted != 2) & (labels == 2)] = 3
    labels[(predicted == 3) & (labels == 3)] = 0
    _, heatmaps = explainer.predict_and_explain(noise.images, labels)
    scaled = maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-30)
    assert (maps.max(axis=(1, 2)) > 0).any()
    for means, right in ((heatmaps.means.right, True), (heatmaps.means.wrong, False)):
        assert means.shape == (5, 4, 4)
        assert means.dtype == np.float32
        for label in range(5):
            those = scaled[(labels == label) & ((predicted == labels) == right)]
            expected = those.mean(axis=0) if len(those) else np.zeros((4, 4))
            np.testing.assert_allclose(means[label], expected, atol=1e-5)
    assert not heatmaps.means.right[4].any()
    assert not heatmaps.means.wrong[4].any()
