"""Datasets of Hugging Face, without their package where possible."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import PIL.Image
import pytest

import lrdiag
from lrdiag.data.hugging_face import BATCH_SIZE, batches_of
from lrdiag.data.inputs import unpacked
from lrdiag.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3), "uint8")
LABELS = np.arange(70) % 2
NAMES = ["cat", "dog"]


def feature(kind: str, **attributes: Any) -> Any:
    return type(kind, (), attributes)()


FEATURES = {"image": feature("Image"), "label": feature("ClassLabel", names=NAMES, num_classes=2)}


class Rows:
    """As `datasets.Dataset`: slices are dictionaries of columns."""

    def __init__(self, images: Any, labels: Any, features: Any = FEATURES) -> None:
        self.columns, self.features, self.format = {"image": images, "label": labels}, features, {"type": None}
        self.longest = 0

    def with_format(self, kind: None) -> Rows:
        return self

    def __len__(self) -> int:
        return len(self.columns["label"])

    def __getitem__(self, rows: slice) -> dict[str, Any]:
        chosen = {name: list(values[rows]) for name, values in self.columns.items()}
        self.longest = max(self.longest, len(chosen["label"]))
        return chosen


Rows.__module__ = "datasets.arrow_dataset"


def pictures(images: np.ndarray, mode: str = "RGB") -> list[Any]:
    return [PIL.Image.fromarray(each).convert(mode) for each in images]


def test_rows_are_read_in_slices() -> None:
    rows = Rows(pictures(IMAGES), LABELS)
    batches, labels, _ = unpacked((rows, None))
    assert labels is None
    read = [batches[place] for place in range(len(batches))]
    assert rows.longest == BATCH_SIZE
    np.testing.assert_array_equal(np.concatenate([images for images, _ in read]), IMAGES)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in read]), LABELS)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("1", 1), ("P", 3), ("RGBA", 3)])
def test_modes_become_grey_values_or_colours(mode: str, channels: int) -> None:
    images, _ = batches_of(Rows(pictures(IMAGES[:2], mode), LABELS[:2]))[0]
    assert (images.shape, images.dtype) == ((2, 8, 8, channels), np.uint8)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Rows([*pictures(IMAGES[:1]), *pictures(IMAGES[:1, :4])], [0, 1]), r"one size and one mode.*\(4, 8, 3\)"),
        (Rows([*pictures(IMAGES[:1]), *pictures(IMAGES[:1], "L")], [0, 1]), "one size and one mode"),
        (Rows(pictures(IMAGES[:1], "CMYK"), [0]), "8 bits for each value.*'CMYK'"),
        (Rows([None], [0]), "empty cell"),
    ],
)
def test_images_that_form_no_batch_are_refused(rows: Rows, message: str) -> None:
    with pytest.raises(DataError, match=message):
        batches_of(rows)[0]


@pytest.mark.parametrize("features", [None, {}, {"image": feature("Image")}, FEATURES | {"mask": feature("Image")}])
def test_columns_must_be_clear(features: Any) -> None:
    with pytest.raises(DataError, match="one column of the feature `Image` and one of `ClassLabel`"):
        batches_of(Rows(pictures(IMAGES), LABELS, features))


def test_splits_must_be_chosen() -> None:
    splits = type("DatasetDict", (dict,), {"__module__": "datasets.dataset_dict"})(train=1, test=2)
    with pytest.raises(DataError, match=r"one split.*'train', 'test'"):
        unpacked(splits)


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss)
    return model


def test_a_report_is_that_of_the_arrays() -> None:
    rows, model = Rows(pictures(IMAGES), LABELS), network()
    report = lrdiag.diagnose(model, rows, train_data=rows)
    of_arrays = lrdiag.diagnose(model, IMAGES, LABELS)
    assert report.diagnosis.dataset.classes == NAMES
    assert report.diagnosis.confusion == of_arrays.diagnosis.confusion
    assert report.diagnosis.dataset.test_fingerprint == of_arrays.diagnosis.dataset.test_fingerprint


@pytest.mark.slow
def test_the_package_itself(tmp_path: Any) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    rows = datasets.Dataset.from_dict({"image": pictures(IMAGES), "label": LABELS.tolist()}, features=features)
    model = network()
    expected = lrdiag.diagnose(model, IMAGES, LABELS).diagnosis.confusion
    for data in (rows, rows.with_format("numpy"), rows.to_iterable_dataset()):
        report = lrdiag.diagnose(model, data)
        assert report.diagnosis.confusion == expected
        assert report.diagnosis.dataset.classes == NAMES
    callback = lrdiag.ReportCallback(tmp_path / "run", rows)
    model.fit(IMAGES, LABELS, verbose=0, callbacks=[callback])
    assert callback.report is not None
    assert callback.report.diagnosis.dataset.classes == NAMES
