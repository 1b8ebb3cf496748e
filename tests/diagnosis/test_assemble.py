"""The facts of a run, built from what was measured."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from lrdiag.diagnosis.assemble import assemble, dataset_facts
from lrdiag.record.arrays import NO_IMAGES, Dataset, LabelledImages, Predictions, SkippedFile
from lrdiag.record.facts import DatasetFacts, Diagnosis, Evolution, RunFacts, TrainingSample
from lrdiag.record.fingerprint import digests, fingerprint_of

PARTS = ("range_test", "range_test_note", "training", "heatmaps")


def again(sound: Diagnosis, dataset: Dataset, predicted: list[int]) -> Diagnosis:
    """As `sound`, with other data or predictions."""
    predictions = Predictions.from_scores(np.eye(3)[predicted] * 5, dataset.test.labels)
    run = RunFacts(**{field.name: getattr(sound, field.name) for field in dataclasses.fields(RunFacts)})
    parts = {name: getattr(sound, name) for name in PARTS}
    return assemble(dataset_facts(dataset), predictions, files=dataset.test.files, **parts, run=run)


def test_the_data_are_counted(sound: Diagnosis) -> None:
    black = hashlib.blake2b(b"(4, 6, 3)" + bytes(4 * 6 * 3), digest_size=16).digest()
    all_of_them = hashlib.sha256(6 * black + np.array([0, 0, 1, 1, 2, 2], "<i8").tobytes()).hexdigest()
    assert sound.dataset == DatasetFacts(
        "toys", "a shelf", None, ["cat", "dog", "frog"], [4, 6, 3], 4, 2, 6, train_counts=[1, 2, 1],
        test_counts=[2, 2, 2], test_fingerprint=f"images:{all_of_them}",
    )  # fmt: skip


def repainted(test: LabelledImages) -> LabelledImages:
    images = test.images.copy()
    images[5, 3, 5, 2] = 1
    return dataclasses.replace(test, images=images)


def relabelled(test: LabelledImages) -> LabelledImages:
    return dataclasses.replace(test, labels=np.array([0, 0, 1, 1, 2, 1]))


def turned(test: LabelledImages) -> LabelledImages:
    return dataclasses.replace(test, images=test.images.swapaxes(1, 2))


def renamed(test: LabelledImages) -> LabelledImages:
    return dataclasses.replace(test, files=())


@pytest.mark.parametrize(
    ("change", "same"), [(repainted, False), (relabelled, False), (turned, False), (renamed, True)]
)
def test_the_fingerprint_is_that_of_the_test_images_and_their_labels(
    sound: Diagnosis, dataset: Dataset, change: Callable[[LabelledImages], LabelledImages], same: bool
) -> None:
    other = dataclasses.replace(dataset, test=change(dataset.test))
    assert (again(sound, other, [0] * 6).dataset.test_fingerprint == sound.dataset.test_fingerprint) == same


def test_the_fingerprint_does_not_depend_on_the_training_images(sound: Diagnosis, dataset: Dataset) -> None:
    fewer = dataclasses.replace(dataset, train=dataset.train.take(np.array([0, 1])))
    assert again(sound, fewer, [0] * 6).dataset.test_fingerprint == sound.dataset.test_fingerprint


def test_a_sound_run_has_no_findings(sound: Diagnosis) -> None:
    assert sound.findings == []
    assert sound.misclassified.count == 0
    assert sound.confusion == [[2, 0, 0], [0, 2, 0], [0, 0, 2]]


def test_mistakes_change_every_figure(sound: Diagnosis, dataset: Dataset) -> None:
    diagnosis = again(sound, dataset, [0, 1, 1, 1, 2, 2])
    assert diagnosis.test.accuracy == 5 / 6
    assert [(each.index, each.file) for each in diagnosis.misclassified.items] == [(1, "test/1.png")]
    assert diagnosis.confusion[0] == [1, 1, 0]
    assert diagnosis.per_class[0].recall == 0.5
    assert [(each.true, each.predicted, each.count) for each in diagnosis.confused_pairs] == [(0, 1, 1)]


def test_data_without_validation_or_files_are_counted_too(sound: Diagnosis, dataset: Dataset) -> None:
    bare = dataclasses.replace(dataset, validation=NO_IMAGES, test=dataclasses.replace(dataset.test, files=()))
    diagnosis = again(sound, bare, [2, 0, 1, 1, 2, 2])
    assert diagnosis.dataset.validation_size == 0
    assert {each.file for each in diagnosis.misclassified.items} == {None}


def test_files_that_could_not_be_read_are_facts_of_the_data(dataset: Dataset) -> None:
    broken = SkippedFile("test/cat/1.png", "it is cut")
    assert dataset_facts(dataclasses.replace(dataset, skipped=(broken,))).skipped == [broken]


def test_without_training_images_their_counts_are_zero(dataset: Dataset) -> None:
    facts = dataset_facts(dataclasses.replace(dataset, train=NO_IMAGES, validation=NO_IMAGES))
    assert (facts.train_size, facts.train_counts, facts.test_counts) == (0, [0, 0, 0], [2, 2, 2])
    assert facts.image_shape == [4, 6, 3]


def test_given_facts_are_included(sound: Diagnosis, dataset: Dataset) -> None:
    predictions = Predictions.from_scores(np.eye(3)[[0, 1, 1, 1, 2, 2]] * 5, dataset.test.labels)
    run = RunFacts(**{field.name: getattr(sound, field.name) for field in dataclasses.fields(RunFacts)})
    parts = {name: getattr(sound, name) for name in PARTS}
    given = {
        "evolution": Evolution([1, 2], [0.5, 1.0], []),
        "train_sample": TrainingSample(4, 0.75, 0.3, 0.95, 0.5),
        "made_by": "callback",
    }
    diagnosis = assemble(sound.dataset, predictions, files=(), **parts, run=run, **given)
    assert {name: getattr(diagnosis, name) for name in given} == given
    assert (diagnosis.findings, diagnosis.checks) == ([], [])  # the rules come later
    assert diagnosis.value_range == (0.0, 255.0)
    assert diagnosis.misclassified.items[0].file is None


class TestFingerprint:
    IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 6, 3)).astype(np.uint8)
    LABELS = np.array([0, 1, 2, 0, 1, 2, 0])

    def of(self, images: np.ndarray, labels: np.ndarray, batch: int = 7) -> str:
        parts = [digests(images[start : start + batch]) for start in range(0, len(images), batch)]
        return fingerprint_of(np.concatenate(parts), labels)

    @pytest.mark.parametrize("batch", [1, 2, 3, 6])
    def test_does_not_depend_on_how_the_images_are_divided(self, batch: int) -> None:
        assert self.of(self.IMAGES, self.LABELS, batch) == self.of(self.IMAGES, self.LABELS)

    def test_does_not_depend_on_the_memory_layout(self) -> None:
        assert self.of(np.asfortranarray(self.IMAGES), self.LABELS) == self.of(self.IMAGES, self.LABELS)

    def test_does_not_depend_on_the_type_of_the_labels(self) -> None:
        assert self.of(self.IMAGES, self.LABELS.astype("uint8")) == self.of(self.IMAGES, self.LABELS)

    @pytest.mark.parametrize("place", [(0, 0, 0, 0), (6, 3, 5, 2)])
    def test_changes_with_a_pixel(self, place: tuple[int, ...]) -> None:
        images = self.IMAGES.copy()
        images[place] ^= 1
        assert self.of(images, self.LABELS, 2) != self.of(self.IMAGES, self.LABELS, 2)

    def test_changes_with_a_label(self) -> None:
        labels = self.LABELS.copy()
        labels[3] = 1
        assert self.of(self.IMAGES, labels) != self.of(self.IMAGES, self.LABELS)

    def test_changes_with_the_order(self) -> None:
        other = np.array([0, 1, 2, 6, 4, 5, 3])  # of one class
        assert (self.LABELS[other] == self.LABELS).all()
        assert self.of(self.IMAGES[other], self.LABELS) != self.of(self.IMAGES, self.LABELS)

    def test_changes_with_the_shape(self) -> None:
        wide = self.IMAGES.reshape(7, 6, 4, 3)
        assert self.of(wide, self.LABELS) != self.of(self.IMAGES, self.LABELS)
