"""The logs of a report for TensorBoard."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from lrdiag import Report, diagnose, overlay
from lrdiag.tensorboard import MISTAKES, _confusion_picture, worst_mistakes

L = keras.layers
generator = np.random.default_rng(0)
IMAGES, LABELS = generator.integers(0, 256, (40, 8, 8, 3), dtype="uint8"), generator.integers(0, 3, 40)


@pytest.fixture(scope="module")
def report() -> Report:
    keras.utils.set_random_seed(1)
    layers = [L.Rescaling(1 / 255), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(3)]
    return diagnose(keras.Sequential([keras.Input((8, 8, 3)), *layers]), IMAGES, LABELS)


def test_the_worst_mistakes_are_shown_under_their_maps(report: Report) -> None:
    shown = worst_mistakes(report)
    assert report.heatmaps is not None
    worst = report.predictions.ranked_mistakes[:MISTAKES]
    assert len(report.predictions.misclassified) > MISTAKES == len(shown)
    maps = dict(zip(report.heatmaps.indices, report.heatmaps.predicted, strict=True))
    np.testing.assert_array_equal(shown, overlay(IMAGES[worst], np.stack([maps[index] for index in worst])))


def test_without_mistakes_or_without_maps_there_is_nothing_to_show(report: Report) -> None:
    assert worst_mistakes(dataclasses.replace(report, heatmaps=None)) is None
    net = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(3)])
    right = diagnose(net, IMAGES, net.predict(IMAGES, verbose=0).argmax(axis=1))
    assert right.heatmaps is not None
    assert worst_mistakes(right) is None


def test_maps_that_are_not_finite_are_left_out(report: Report) -> None:
    assert report.heatmaps is not None
    broken = report.heatmaps.signed_predicted.copy()
    broken[np.searchsorted(report.heatmaps.indices, report.predictions.ranked_mistakes[0])] = np.nan
    spoilt = dataclasses.replace(report, heatmaps=dataclasses.replace(report.heatmaps, signed_predicted=broken))
    expected = worst_mistakes(report)
    np.testing.assert_array_equal(worst_mistakes(spoilt)[: MISTAKES - 1], expected[1:])


@pytest.mark.parametrize("classes", [3, 31])
def test_the_confusion_matrix_is_drawn_as_large_as_it_can_be_read(report: Report, classes: int) -> None:
    counts = np.eye(classes, dtype=int).tolist()
    names = [f"class {index}" for index in range(classes)]
    diagnosis = dataclasses.replace(
        report.diagnosis,
        confusion=counts,
        dataset=dataclasses.replace(report.diagnosis.dataset, classes=names),
    )
    picture = _confusion_picture(dataclasses.replace(report, run=dataclasses.replace(report.run, diagnosis=diagnosis)))
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 4
    assert picture.shape[0] == {3: 520, 31: 1600}[classes]
    assert len(np.unique(picture[..., 2])) > 2
