"""Images and labels in every supported form, and a clear error for those that are not supported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import is_
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.data.inputs import GivenData, LabelledBatches, starts_alike, unpacked
from lrdiag.errors import DataError
from lrdiag.explain.gradcam import GradCAM
from lrdiag.record.arrays import LabelledImages

BATCH_SIZE = 256


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


@pytest.mark.parametrize(("batch_size", "explained_at_once"), [(None, [16, 7]), (10, [10, 6, 7])])
def test_batches_are_cut_only_where_they_are_too_large(
    logits_net: keras.Model, noise: LabelledImages, batch_size: int | None, explained_at_once: list[int]
) -> None:
    sizes: list[int] = []
    dataset = tf.data.Dataset.from_tensor_slices((noise.images, noise.labels)).batch(16)
    explainer = GradCAM(logits_net, batch_size=batch_size)
    explainer.predict_and_explain(dataset, on_batch=lambda batch: sizes.append(len(batch.scores)))
    assert sizes == explained_at_once


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
    "infinite-tf.data": (lambda images, labels: (infinite(images, labels),), r"finite.*`steps=`.*dataset\.take"),
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
    "names": (lambda images, labels: (images, np.array([*"abcde"])[labels]), r"need `class_names`.*'a', 'b'"),
    "maps-of-labels": (lambda images, labels: (images, labels[:, None, None]), r"class indices.*shape=\(23, 1, 1\)"),
    "a-dictionary": (
        lambda images, labels: ([(images, {"head": labels, "tail": labels})],),
        r"several outputs: 'head', 'tail'\. Say which.*output=None",
    ),
    "a-tuple-of-outputs": (lambda images, labels: (images, (labels, labels)), r"several outputs: 0, 1"),
    "a-dictionary-as-batch": (
        lambda images, labels: (tf.data.Dataset.from_tensor_slices({"image": images, "label": labels}).batch(10),),
        r"must be pairs.*as_supervised=True.*keys 'image', 'label'",
    ),
    "four-parts": (lambda images, labels: ([(images, images, labels, labels)],), r"Received: tuple of 4 parts"),
    "not-batched": (
        lambda images, labels: (tf.data.Dataset.from_tensor_slices((images, labels)),),
        r"Call `\.batch\(32\)`.*single image of shape \(8, 8, 3\)",
    ),
    "not-batched-one-hot": (
        lambda images, labels: (tf.data.Dataset.from_tensor_slices((images, one_hot(labels))),),
        r"Call `\.batch\(32\)`",
    ),
    "a-list-of-single-images": (
        lambda images, labels: (list(zip(images, labels.tolist(), strict=True)),),
        r"np\.stack\(images\).*single image",
    ),
    "images-in-a-list": (lambda images, labels: (list(images), labels), r"np\.stack\(images\).*a list of 23 images"),
    "ragged-images": (
        lambda images, labels: ([(tf.RaggedTensor.from_tensor(images), labels)],),
        r"must have one size.*ragged tensor",
    ),
    "labels-beside-a-dataset": (lambda images, labels: (of_tensorflow(images, labels), labels), r"`y` is for arrays"),
    "a-name-of-a-folder": (lambda images, labels: ("flowers",), r"image_dataset_from_directory.*Received: str"),
    "a-number": (lambda images, labels: (3,), r"Received: int"),
    "several-classes": (
        lambda images, labels: (images, one_hot(labels) + one_hot((labels + 1) % 5)),
        r"one-hot.*one class.*Received: 23 of 23 rows that are neither, the first \[[01., ]+\]$",
    ),
    "a-class-too-many": (lambda images, labels: (images, labels + 1), r"classes 1 to 5\. If.* pass labels - 1$"),
    "a-class-below-zero": (lambda images, labels: (images, labels - 1), r"indices from 0.*Received: labels −1 and 0"),
    "a-class-below-zero-in-another-batch": (
        lambda images, labels: ([(images, 0 * labels), (images, 0 * labels - 1)],), r"labels −1 and 0",
    ),
    "minus-one-of-five-classes": (lambda images, labels: (images, 0 * labels - 1), r"must be 0 to 4.*Pass 0 instead"),
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
        (1, r"class indices, integers of shape \(n,\).*Received: shape=\(\)"),
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


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("form", ["arrays", "tf.data", "PyDataset", "no-end-tf.data", "no-end-PyDataset", "generator"])
def test_steps_is_the_number_of_batches(form: str, steps: int, noise: LabelledImages) -> None:
    forms = FORMS | {
        "no-end-tf.data": lambda images, labels: (infinite(images, labels),),
        "no-end-PyDataset": lambda images, labels: (Batches(images, labels, None),),
    }
    batches = LabelledBatches(GivenData(*forms[form](noise.images, noise.labels), steps=steps), 10)
    read = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(read, noise.labels[: 10 * steps])
    assert batches.notes == ()
    assert batches.labels is None or len(batches.labels) == len(read)


def notes(*data: Any, **more: Any) -> tuple[str, ...]:
    batches = LabelledBatches(GivenData(*data, **more), BATCH_SIZE)
    assert list(batches)
    return batches.notes


def test_a_reader_is_told_what_was_done_with_the_data(noise: LabelledImages) -> None:
    images, labels = noise.images, noise.labels
    assert notes(images, labels, np.ones(23)) == ("Sample weights are ignored: every image counts equally.",)
    assert notes([(images, labels, np.ones(23))]) == notes(images, labels, np.ones(23))
    assert notes([(images, labels, None)]) == notes(images, one_hot(labels)) == ()
    assert notes(images, 0.6 * one_hot(labels) + 0.08) == (
        "The labels are soft: the class with the largest value is the true class.",
    )
    assert notes([(images, labels)], steps=5) == ("The data ended after 1 of 5 steps.",)


def test_names_and_named_outputs_are_read(noise: LabelledImages) -> None:
    images, labels = noise.images, noise.labels
    names = np.array([*"abcde"])[labels]
    for y, more in [
        (names, {"class_names": "abcde"}),
        ({"kind": labels, "other": 0 * labels}, {"output": "kind"}),
        ((0 * labels, labels), {"output": 1}),
        ({"kind": labels}, {}),
    ]:
        for data in ((images, y), ([(images, y)],)):
            ((_, read),) = LabelledBatches(GivenData(*data, **more), BATCH_SIZE)
            np.testing.assert_array_equal(read, labels)


class OfTorch:
    """What NumPy needs of a tensor of PyTorch that is on a GPU."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, "torch.uint8"

    def detach(self) -> OfTorch:
        return self

    to_dense = detach

    def numpy(self, *, force: bool) -> np.ndarray:
        assert force, "the tensor is on a GPU"
        return self.array

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def test_tensors_of_pytorch_are_read(noise: LabelledImages) -> None:
    pair = OfTorch(noise.images), OfTorch(noise.labels)
    for data in (pair, ([list(pair)],)):
        ((images, labels),) = LabelledBatches(GivenData(*data), BATCH_SIZE)
        np.testing.assert_array_equal(images, noise.images)
        np.testing.assert_array_equal(labels, noise.labels)


def test_validation_data_is_unpacked_as_by_keras() -> None:
    x, y, weights = np.zeros((2, 2)), np.zeros(2), np.ones(2)
    assert all(map(is_, unpacked((x, y, weights)), (x, y, weights)))
    assert all(map(is_, unpacked([x, y, weights]), (x, y, weights)))
    assert all(map(is_, unpacked([x, y]), (x, y, None)))
    batches = [(x, y), (x, y)]
    assert unpacked(batches) == unpacked((batches,)) == (batches, None, None)
    with pytest.raises(DataError, match="a tuple of 4 parts"):
        unpacked((x, y, y, weights))


def test_a_new_order_in_each_pass_is_noticed(noise: LabelledImages) -> None:
    whole = tf.data.Dataset.from_tensor_slices((noise.images, noise.labels))
    once = whole.shuffle(23, seed=1, reshuffle_each_iteration=False)
    assert starts_alike(GivenData(once.batch(10)))
    assert not starts_alike(GivenData(whole.shuffle(23, seed=1).batch(10)))
    assert starts_alike(GivenData(Batches(noise.images, noise.labels)))
    assert starts_alike(GivenData(noise.images, noise.labels))
