"""The training images that are evaluated: a random sample of arrays, or the first images of a dataset."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.evaluation.training_images import choose, most_images
from lrdiag.images.choosing import sample
from lrdiag.inspection.images import GivenImages, look_at
from lrdiag.record.arrays import LabelledImages
from lrdiag.studying import EvaluatedTrainingImages, evaluate_training_images

L = keras.layers
generator = np.random.default_rng(0)
IMAGES = generator.integers(0, 256, (60, 8, 8, 3), dtype="uint8")
LABELS = generator.integers(0, 3, 60)


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    keras.utils.set_random_seed(0)
    head = [L.GlobalAveragePooling2D(), L.Dense(3)]
    return Evaluator(keras.Sequential([keras.Input((8, 8, 3)), L.Rescaling(1 / 255), L.Conv2D(4, 3), *head]))


def evaluated(evaluator: Evaluator, x: Any, y: Any = None, **options: Any) -> EvaluatedTrainingImages:
    given = GivenImages("the training data", x, y)
    few = evaluator.evaluate(IMAGES[:10], LABELS[:10])
    return evaluate_training_images(evaluator, given, look_at(given)[1], few, **options)


def batches() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(16)


class Sequence(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return IMAGES[16 * index : 16 * index + 16], LABELS[16 * index : 16 * index + 16]


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (IMAGES, LABELS),
        (IMAGES, np.eye(3)[LABELS]),
        (LabelledImages(IMAGES, LABELS, tuple(f"{n}.png" for n in range(60))), None),
        (batches(), None),
        (batches().repeat(), None),
        (Sequence(), None),
    ],
    ids=["arrays", "one-hot", "labelled-images", "tf.data", "endless", "PyDataset"],
)
def test_every_form_of_training_data_gives_the_same_rows(
    x: Any, y: Any, evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrdiag.evaluation.training_images.FEWEST_LARGE", 60)
    monkeypatch.setattr("lrdiag.evaluation.training_images.FEWEST", 60)
    images = evaluated(evaluator, x, y).images
    assert images is not None
    assert images.table is not None
    np.testing.assert_array_equal(images.table.indices, np.arange(60))
    np.testing.assert_array_equal(images.table.pictures, IMAGES)
    np.testing.assert_array_equal(images.table.labels, LABELS)
    assert images.table.file(7) == ("7.png" if isinstance(x, LabelledImages) else None)


def test_large_arrays_are_sampled(evaluator: Evaluator) -> None:
    given = GivenImages("the training data", IMAGES, LABELS)
    table = evaluator.tabulate(choose(given, look_at(given)[1], 20, output=None)).table
    assert table is not None
    np.testing.assert_array_equal(table.indices, sample(0, 60, 20))
    np.testing.assert_array_equal(table.pictures, IMAGES[table.indices])
    assert (len(table), table.size) == (20, 60)


def test_large_datasets_are_read_in_part(evaluator: Evaluator) -> None:
    given = GivenImages("the training data", batches())
    table = evaluator.tabulate(choose(given, look_at(given)[1], 20, output=None)).table
    assert table is not None
    assert table.indices.max() < 32
    assert table.size == 60


def test_a_few_times_as_many_training_images_as_test_images_are_evaluated() -> None:
    assert [most_images(size, (224, 224, 3)) for size in (100, 1_000, 100_000)] == [2_000, 5_000, 50_000]
    assert [most_images(size, (32, 32, 3)) for size in (100, 10_000)] == [20_000, 50_000]


def test_images_that_cannot_be_shown_have_predictions_but_no_table(evaluator: Evaluator) -> None:
    broken = IMAGES.astype("float32")
    broken[30, 0, 0, 0] = np.nan
    images = evaluated(evaluator, broken, LABELS).images
    assert images is not None
    assert images.table is None
    assert images.reason is not None
    assert "must be finite" in images.reason
    assert len(images.predictions.labels) == 60


def test_labels_that_do_not_fit_are_a_reason(evaluator: Evaluator) -> None:
    images, reason = evaluated(evaluator, IMAGES, LABELS + 1)
    assert images is None
    assert "A class must be 0 to 2" in reason
