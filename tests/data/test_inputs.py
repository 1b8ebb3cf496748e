"""Images and labels in every supported form, and a clear error for those that are not supported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.data.labels import LabelReader
from lrdiag.errors import DataError
from lrdiag.explain.gradcam import GradCAM
from lrdiag.record.arrays import LabelledImages


class Batches(keras.utils.PyDataset):
    """Batches of ten images; `number` of them."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, number: int | None = 3) -> None:
        super().__init__()
        self.images, self.labels, self.number = images, labels, number

    @property
    def num_batches(self) -> int | None:
        return self.number

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        these = slice(10 * place, 10 * place + 10)
        return self.images[these], self.labels[these]


def generated(images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for place in range(0, len(images), 10):
        yield images[place : place + 10], labels[place : place + 10]


def of_tensorflow(images: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(10)


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(5, dtype="float32")[labels]


FORMS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[Any, ...]]] = {
    "arrays": lambda images, labels: (images, labels),
    "lists-of-labels": lambda images, labels: (images, labels.tolist()),
    "columns-of-labels": lambda images, labels: (images, labels[:, None]),
    "whole-floats": lambda images, labels: (images, labels.astype("float32")),
    "one-hot": lambda images, labels: (images, one_hot(labels)),
    "soft-labels": lambda images, labels: (images, 0.6 * one_hot(labels) + 0.08),
    "tensors": lambda images, labels: (tf.constant(images), tf.constant(labels)),
    "tf.data": lambda images, labels: (of_tensorflow(images, labels),),
    "tf.data-of-one-hot": lambda images, labels: (of_tensorflow(images, one_hot(labels)).prefetch(1),),
    "tf.data-with-sample-weights": lambda images, labels: (
        tf.data.Dataset.from_tensor_slices((images, labels, np.ones(23))).batch(10),
    ),
    "PyDataset": lambda images, labels: (Batches(images, labels),),
    "generator": lambda images, labels: (generated(images, labels),),
    "list-of-batches": lambda images, labels: ([list(batch) for batch in generated(images, labels)],),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_data_gives_the_same_result(
    form: Any, explainer: GradCAM, noise: LabelledImages, explained: Any
) -> None:
    sizes: list[int] = []
    predictions, heatmaps = explainer.predict_and_explain(
        *form(noise.images, noise.labels), on_batch=lambda batch: sizes.append(len(batch.scores))
    )
    assert sizes == [10, 10, 3]
    assert predictions.labels.dtype == np.int64
    np.testing.assert_array_equal(predictions.labels, noise.labels)
    np.testing.assert_array_equal(predictions.log_probabilities, explained[0].log_probabilities)
    np.testing.assert_array_equal(heatmaps.indices, explained[1].indices)
    np.testing.assert_array_equal(heatmaps.signed_true, explained[1].signed_true)


def test_batches_keep_their_size(explainer: GradCAM, noise: LabelledImages) -> None:
    sizes: list[int] = []
    dataset = tf.data.Dataset.from_tensor_slices((noise.images, noise.labels)).batch(16)
    explainer.predict_and_explain(dataset, on_batch=lambda batch: sizes.append(len(batch.scores)))
    assert sizes == [16, 7]


def test_a_batch_is_explained_before_the_next_is_read(explainer: GradCAM, noise: LabelledImages) -> None:
    """Data may be larger than memory."""
    events: list[str] = []

    def watched() -> Iterator[Any]:
        for batch in generated(noise.images, noise.labels):
            events.append("taken")
            yield batch

    explainer.predict_and_explain(watched(), on_batch=lambda _: events.append("explained"))
    assert events == ["taken", "explained"] * 3


def infinite(images: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
    return of_tensorflow(images, labels).repeat()


BROKEN: dict[str, tuple[Callable[[np.ndarray, np.ndarray], tuple[Any, ...]], str]] = {
    "no-labels": (lambda images, labels: (images,), r"needs labels\. Pass `y`, or batches `\(x, y\)`.*ndarray without"),
    "no-labels-in-batches": (
        lambda images, labels: (tf.data.Dataset.from_tensor_slices(images).batch(10),),
        r"needs labels.*Received: EagerTensor without labels",
    ),
    "no-labels-beside-inputs": (lambda images, labels: ([(images,)],), r"needs labels.*Received: tuple without labels"),
    "infinite-tf.data": (lambda images, labels: (infinite(images, labels),), r"must be finite.*dataset\.take"),
    "infinite-PyDataset": (lambda images, labels: (Batches(images, labels, None),), r"must be finite"),
    "no-images": (lambda images, labels: (images[:0], labels[:0]), r"at least one image.*arrays of 0 and 0 examples"),
    "no-batches": (lambda images, labels: (iter(()),), r"at least one image\. Received: no batches"),
    "no-batches-in-tf.data": (lambda images, labels: (of_tensorflow(images, labels).take(0),), r"Received: no batches"),
    "no-batches-in-PyDataset": (lambda images, labels: (Batches(images, labels, 0),), r"Received: no batches"),
    "an-empty-batch": (lambda images, labels: ([(images[:0], labels[:0])],), r"arrays of 0 and 0 examples"),
    "fewer-labels": (lambda images, labels: (images, labels[:20]), r"one label for each.*arrays of 23 and 20 examples"),
    "fewer-images": (lambda images, labels: (images[:20], labels), r"arrays of 20 and 23 examples"),
    "fewer-labels-in-a-batch": (lambda images, labels: ([(images, labels[:20])],), r"arrays of 23 and 20 examples"),
    "fewer-images-in-a-batch": (lambda images, labels: ([(images[:20], labels)],), r"arrays of 20 and 23 examples"),
    "fractions": (lambda images, labels: (images, labels + 0.5), r"class indices.*shape=\(23,\), dtype=float64"),
    "not-numbers": (lambda images, labels: (images, labels + np.nan), r"class indices.*dtype=float64"),
    "names": (lambda images, labels: (images, np.array(["cat", "dog"])[labels % 2]), r"class indices.*dtype=<U3"),
    "maps-of-labels": (lambda images, labels: (images, labels[:, None, None]), r"class indices.*shape=\(23, 1, 1\)"),
    "a-dictionary": (lambda images, labels: ([(images, {"head": labels})],), r"class indices.*dtype=object"),
    "several-classes": (
        lambda images, labels: (images, one_hot(labels) + one_hot((labels + 1) % 5)),
        r"one-hot.*one class.*Received: 23 of 23 rows that are neither, the first \[[01., ]+\]$",
    ),
    "a-class-too-many": (lambda images, labels: (images, labels + 1), r"0 to 4.* scores 5\. Received: classes 1 to 5"),
    "a-class-below-zero": (lambda images, labels: (images, labels - 1), r"must be 0 to 4.*Received: classes -1 to 3"),
    "an-unknown-class-in-a-batch": (lambda images, labels: ([(images, labels + 1)],), r"must be 0 to 4"),
    "a-one-hot-class-too-many": (
        lambda images, labels: (images, np.eye(6)[labels + 1]), r"must be 0 to 4.*Received: classes 1 to 5",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("form", "message"), BROKEN.values(), ids=BROKEN)
@pytest.mark.filterwarnings("error")
def test_unusable_data_is_refused(form: Any, message: str, explainer: GradCAM, noise: LabelledImages) -> None:
    with pytest.raises(DataError, match=message):
        explainer.predict_and_explain(*form(noise.images, noise.labels))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([5] * 23, r"A class must be 0 to 4: the model scores 5\. Received: classes 5 to 5"),
        ([-1] * 23, r"A class must be 0 to 4"),
        ([0] * 22, r"one label for each.*arrays of 23 and 22 examples"),
        (1, r"class indices, of shape \(n,\).*Received: shape=\(\)"),
        ([0.5] * 23, r"class indices"),
    ],
    ids=["too-many", "below-zero", "fewer", "one-for-all", "fractions"],
)
def test_maps_refuse_unknown_classes(classes: Any, message: str, explainer: GradCAM, noise: LabelledImages) -> None:
    with pytest.raises(DataError, match=message):
        explainer.maps(noise.images, classes)


def test_maps_refuse_an_empty_array(explainer: GradCAM, noise: LabelledImages) -> None:
    with pytest.raises(DataError, match=r"at least one image.*arrays of 0 examples"):
        explainer.maps(noise.images[:0])


def test_a_single_logit_scores_two_classes(noise: LabelledImages) -> None:
    layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]
    explainer = GradCAM(keras.Sequential([keras.Input((8, 8, 3)), *layers]))
    with pytest.raises(DataError, match=r"must be 0 to 1: the model scores 2\. Received: classes 0 to 2"):
        explainer.maps(noise.images[:3], [0, 1, 2])


@pytest.mark.parametrize(
    ("labels", "indices"),
    [
        ([2, 0], [2, 0]),
        ([[2], [0]], [2, 0]),
        ([[0.2, 0.8], [0.9, 0.1]], [1, 0]),
        (np.array([[0.1, 0.2, 0.701]], "float16"), [2]),
        (np.array([[0, 1, 0]], bool), [1]),
        ([True, False], [1, 0]),
        (np.array([3.0], "float16"), [3]),
        (np.array([250], "uint8"), [250]),
    ],
    ids=["indices", "column", "soft", "soft-rounded", "one-hot-booleans", "booleans", "floats", "bytes"],
)
def test_labels_are_converted_to_class_indices(labels: Any, indices: list[int]) -> None:
    found = LabelReader().read(labels)
    assert found.tolist() == indices
    assert found.dtype == np.int64


@pytest.mark.parametrize("row", [[1, 1, 0], [0, 0, 0], [0.9, 0.8, 0.1], [2, 0, 0], [1.5, -0.5, 0], [np.nan, 1, 0]])
def test_a_row_that_is_neither_one_hot_nor_soft_is_refused(row: list[float]) -> None:
    """The argmax of such rows would give an accuracy without meaning."""
    with pytest.raises(DataError, match=r"one-hot, or soft labels that sum to 1.*Received: 1 of 2 rows"):
        LabelReader().read([[0, 0, 1], row])
