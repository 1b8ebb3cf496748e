"""Rules about validation images."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fixtures.diagnoses import balanced, facts_of, history
from fixtures.image_sets import answer, found
from fixtures.image_tables import noise, table_of

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import NotChecked, Passed


def evidence(*val_accuracies: float | None, order: str = "shuffled", right: int = 80, each: int = 100) -> Evidence:
    labels = np.repeat(np.arange(4), 50)
    if order == "shuffled":
        labels = np.random.default_rng(0).permutation(labels)
    training = table_of(noise(len(labels)), labels, np.zeros(len(labels), bool), part="train")
    run = history([(0.9, accuracy) for accuracy in val_accuracies])
    facts = dataclasses.replace(facts_of(balanced(4, each, right)), training=run)
    return Evidence(facts, training_images=training)


def test_sorted_images_are_named() -> None:
    problem = found("sorted-validation", evidence(0.3, 0.1, order="sorted"))
    assert problem.title == (
        "The validation images are not like the test images: the training images were sorted by class when they were "
        "split."
    )
    assert problem.evidence == (
        "Accuracy is 80.0 % on 400 test images. On the validation images it was 30.0 % at most, in 2 epochs. The "
        "training labels are sorted: of 4 classes, the last 10.0 % of the images have 1: “3”."
    )
    assert problem.severity == "error"
    assert problem.value == pytest.approx(0.5)


def test_other_validation_images_are_a_warning() -> None:
    problem = found("sorted-validation", evidence(0.4))
    assert problem.title == "The validation images are not like the test images."
    assert problem.severity is None


def test_the_best_epoch_decides() -> None:
    assert isinstance(answer("sorted-validation", evidence(0.1, 0.66, 0.2, order="sorted")), Passed)
    assert isinstance(answer("sorted-validation", evidence(0.9)), Passed)


def test_what_is_not_checked() -> None:
    assert answer("sorted-validation", evidence(None)) == NotChecked("no validation accuracy was recorded")
    assert isinstance(answer("sorted-validation", evidence(0.64, right=8, each=10)), NotChecked)
