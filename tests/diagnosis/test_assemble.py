"""Everything that was measured, in one record."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from lrdiag.diagnosis.assemble import assemble
from lrdiag.diagnosis.findings import find
from lrdiag.records import NO_IMAGES, Dataset, DatasetFacts, Diagnosis, LabelledImages, Predictions, RunFacts

PARTS = ("range_test", "range_test_note", "training", "heatmaps", "sheets")


def again(sound: Diagnosis, dataset: Dataset, predicted: list[int]) -> Diagnosis:
    """As `sound`, with other data or predictions."""
    predictions = Predictions.from_scores(np.eye(3)[predicted] * 5, dataset.test.labels)
    run = RunFacts(**{field.name: getattr(sound, field.name) for field in dataclasses.fields(RunFacts)})
    return assemble(dataset, predictions, **{name: getattr(sound, name) for name in PARTS}, run=run)


def test_the_data_are_counted(sound: Diagnosis) -> None:
    black = repr(((6, 4, 6, 3), [0, 0, 1, 1, 2, 2])).encode() + bytes(6 * 4 * 6 * 3)
    assert sound.dataset == DatasetFacts(
        "toys", "a shelf", None, ["cat", "dog", "frog"], [4, 6, 3], 4, 2, 6, train_counts=[1, 2, 1],
        test_counts=[2, 2, 2], test_fingerprint=hashlib.sha256(black).hexdigest(),
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


def test_mistakes_go_into_every_figure(sound: Diagnosis, dataset: Dataset) -> None:
    diagnosis = again(sound, dataset, [0, 1, 1, 1, 2, 2])
    assert diagnosis.test.accuracy == 5 / 6
    assert [(each.index, each.file) for each in diagnosis.misclassified.items] == [(1, "test/1.png")]
    assert diagnosis.confusion[0] == [1, 1, 0]
    assert [each.code for each in diagnosis.findings] == ["weak-class", "confused-pair"]
    assert diagnosis.findings == find(diagnosis)


def test_data_without_validation_or_files_are_counted_too(sound: Diagnosis, dataset: Dataset) -> None:
    bare = dataclasses.replace(dataset, validation=NO_IMAGES, test=dataclasses.replace(dataset.test, files=()))
    diagnosis = again(sound, bare, [2, 0, 1, 1, 2, 2])
    assert diagnosis.dataset.validation_size == 0
    assert {each.file for each in diagnosis.misclassified.items} == {None}
