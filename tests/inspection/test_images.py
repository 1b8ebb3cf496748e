"""What is read of training and validation data."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.inspection.images import GivenImages, NotReadable, look_at, search, shared_images
from lrdiag.inspection.labels import classes_of, describe
from lrdiag.record.arrays import LabelledImages

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.random((300, 6, 6, 3), "float32")
LABELS = np.arange(300) % 10


class Sequence(keras.utils.PyDataset):
    """Sorted batches of 30 images, each with its number of reads."""

    def __init__(self) -> None:
        super().__init__()
        self.order = np.argsort(LABELS, kind="stable")

    def __len__(self) -> int:
        return 10

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.order[30 * place : 30 * place + 30]
        return IMAGES[chosen], LABELS[chosen]


def test_arrays_are_described_whole_and_sampled() -> None:
    sample, facts = look_at(GivenImages("arrays", IMAGES, LABELS, batch_size=64))
    assert (facts.size, facts.looked_at, facts.checked, facts.batch_size) == (300, 300, 300, 64)
    assert facts.is_complete
    assert facts.labels.counts == (30,) * 10
    assert facts.classes_in_batches == ()  # fit shuffles them
    assert facts.values.mean == pytest.approx(IMAGES.mean(), abs=1e-6)
    assert facts.values.deviation == pytest.approx(IMAGES.std(), abs=1e-6)
    assert facts.values.between == pytest.approx(IMAGES.std(axis=0).mean(), abs=1e-6)
    assert facts.values.rms == pytest.approx(np.sqrt(np.mean(IMAGES**2)), abs=1e-6)
    found = [np.flatnonzero((image == IMAGES).all(axis=(1, 2, 3)))[0] for image in sample.first(20).inputs]
    assert (LABELS[found] == sample.first(20).labels).all()
    assert len(set(found)) == 20


def test_arrays_that_fit_does_not_shuffle_show_their_order() -> None:
    order = np.argsort(LABELS, kind="stable")
    _, facts = look_at(GivenImages("arrays", IMAGES[order], LABELS[order], batch_size=30, shuffled=False))
    assert facts.classes_in_batches == (1,) * 10


def test_every_image_of_arrays_is_checked_for_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrdiag.inspection.images._CHUNK", 64)
    images = IMAGES.copy()
    images[171, 3, 2, 1], images[299, 0, 0, 0] = np.nan, np.inf
    images[5] = 3e38  # a sum overflows, though every value is finite
    _, facts = look_at(GivenImages("arrays", images, LABELS))
    assert facts.not_finite == (171, 299)


@pytest.mark.parametrize("kind", ["tf.data", "PyDataset", "list"])
def test_batches_are_read_in_order(kind: str) -> None:
    sequence = Sequence()
    batches = [sequence[place] for place in range(10)]
    x = {
        "tf.data": tf.data.Dataset.from_tensor_slices((IMAGES[sequence.order], LABELS[sequence.order])).batch(30),
        "PyDataset": sequence,
        "list": batches,
    }[kind]
    sample, facts = look_at(GivenImages("batches", x))
    assert (facts.size, facts.looked_at, facts.batch_size) == (300, 300, 30)
    assert facts.classes_in_batches == (1,) * 10
    assert len(facts.draw_seconds) == 10
    assert len(set(sample.first(30).labels.tolist())) > 5  # the sample is mixed


def test_a_dataset_is_read_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrdiag.inspection.images._BATCHES", 3)
    _, facts = look_at(GivenImages("batches", Sequence()))
    assert (facts.size, facts.looked_at, facts.is_complete) == (300, 90, False)


def test_the_whole_dataset_is_searched_once_a_run_is_ruined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrdiag.inspection.images._BATCHES", 3)
    images = IMAGES.copy()
    images[171, 3, 2, 1] = np.nan
    given = GivenImages("batches", tf.data.Dataset.from_tensor_slices((images, LABELS)).batch(30))
    _, facts = look_at(given)
    assert (facts.not_finite, facts.checked) == ((), 90)
    found = search(given, facts)
    assert (found.not_finite, found.checked) == ((171,), 180)


def test_images_without_a_finite_value() -> None:
    _, facts = look_at(GivenImages("arrays", np.full((20, 4, 4, 1), np.nan), LABELS[:20]))
    assert len(facts.not_finite) == 20


def test_a_generator_is_not_consumed() -> None:
    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield IMAGES, LABELS

    given = generate()
    with pytest.raises(NotReadable, match="only once"):
        look_at(GivenImages("a generator", given))
    assert next(given)[0] is IMAGES


def test_images_of_lrdiag_and_weights() -> None:
    _, facts = look_at(GivenImages("images", LabelledImages((255 * IMAGES).astype("uint8"), LABELS)))
    assert facts.labels.classes == 10
    weighted = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS, np.ones(300))).batch(30)
    assert look_at(GivenImages("weighted", weighted))[1].weighted


def test_blank_images_are_counted_and_are_no_copies() -> None:
    images = IMAGES.copy()
    images[::3] = 0.0
    _, facts = look_at(GivenImages("arrays", images, LABELS))
    assert facts.values.blank == pytest.approx(1 / 3)
    assert shared_images(images[:150], images[150:]) == 0.0


def test_shared_images() -> None:
    assert shared_images(IMAGES[:200], IMAGES[150:250]) == 0.5
    nearly = IMAGES[150:250].copy()
    nearly[:, 0, 0, 0] += 0.01
    assert shared_images(IMAGES[:200], nearly) == 0.0
    assert shared_images(IMAGES, IMAGES[:, :3]) is None


@pytest.mark.parametrize(
    ("labels", "width", "whole", "sums", "counts"),
    [
        ([0, 2, 2], 1, True, None, (1, 0, 2)),
        ([[0], [1]], 1, True, None, (1, 1)),
        ([0.0, 0.5], 1, False, None, ()),
        ([-1, 1, 1], 1, True, None, (1, 2)),
        ([-1, 0, 1], 1, True, None, ()),
        ([[1.0, 0.0], [0.2, 0.8]], 2, False, True, (1, 1)),
        ([[255.0, 0.0], [0.0, 255.0]], 2, True, False, (1, 1)),
        ([[1, 1, 0]], 3, True, False, (1, 0, 0)),
        (["cat", "dog"], 0, False, None, ()),
    ],
)
def test_labels(labels: list, width: int, whole: bool, sums: bool | None, counts: tuple[int, ...]) -> None:
    found = describe(labels)
    assert (found.width, found.whole, found.sums_to_one, found.counts) == (width, whole, sums, counts)


def test_classes_of_labels() -> None:
    assert classes_of([[0.1, 0.9], [0.6, 0.4]]).tolist() == [1, 0]
    assert classes_of([-1, 1]).tolist() == [0, 1]
    assert classes_of([0.5, 1.0]) is None
    assert classes_of(["cat"]) is None
