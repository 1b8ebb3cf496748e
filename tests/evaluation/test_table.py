"""The table of the images: one row for each, or for a random sample that does not depend on the batches."""

from __future__ import annotations

import numpy as np
import pytest

from lrdiag.evaluation import table
from lrdiag.evaluation.table import TableBuilder
from lrdiag.images.choosing import draws, sample
from lrdiag.record.arrays import Predictions
from lrdiag.record.image_table import ImageTable

generator = np.random.default_rng(0)
IMAGES = generator.integers(0, 256, (100, 8, 8, 3), dtype="uint8")
FEATURES = generator.normal(size=(100, 4)).astype("float32")
PREDICTIONS = Predictions.from_scores(generator.normal(size=(100, 3)), np.arange(100) % 3)


def built(most: int, batch: int, images: np.ndarray = IMAGES) -> ImageTable:
    builder = TableBuilder("test", most)
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        builder.add(images[part], images[part] / 255, FEATURES[part])
    return builder.table(PREDICTIONS)


def test_each_image_has_a_row() -> None:
    made = built(200, 16)
    assert made.is_complete
    np.testing.assert_array_equal(made.indices, np.arange(100))
    np.testing.assert_array_equal(made.pictures, IMAGES)
    np.testing.assert_array_equal(made.labels, PREDICTIONS.labels)
    np.testing.assert_array_equal(made.features, FEATURES.astype("float16"))
    np.testing.assert_allclose(made.statistics.channels, IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(made.inputs, IMAGES[made.input_rows] / 255)


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_a_sample_does_not_depend_on_the_batches(batch: int) -> None:
    made = built(20, batch)
    np.testing.assert_array_equal(made.indices, sample(0, 100, 20))
    np.testing.assert_array_equal(made.pictures, IMAGES[made.indices])
    np.testing.assert_array_equal(made.labels, PREDICTIONS.labels[made.indices])
    np.testing.assert_array_equal(made.inputs, IMAGES[made.indices[made.input_rows]] / 255)
    assert made.size == 100


def test_pictures_are_scaled_down_if_they_take_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    large = generator.integers(0, 256, (100, 90, 60, 3), dtype="uint8")
    assert built(100, 10, large).pictures.shape == (100, 90, 60, 3)
    monkeypatch.setattr(table, "_PICTURES", 100 * 50 * 50 * 3)
    assert built(100, 10, large).pictures.shape[1:3] == (46, 31)


def test_inputs_that_are_not_the_pictures_are_not_kept() -> None:
    builder = TableBuilder("test", 100)
    builder.add(IMAGES, {"image": IMAGES}, FEATURES)
    assert builder.table(PREDICTIONS).inputs is None


def test_draws_are_uniform_and_differ_between_seeds() -> None:
    first, second = draws(0, np.arange(100_000)), draws(1, np.arange(100_000))
    np.testing.assert_allclose(np.histogram(first, 10, (0, 1))[0], 10_000, rtol=0.05)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
