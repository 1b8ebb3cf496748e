"""Rules about test images that are not like the training images."""

from __future__ import annotations

import dataclasses

import numpy as np
from fixtures.diagnoses import balanced, facts_of
from fixtures.image_sets import answer, found, image_set
from fixtures.inputs import coloured, received

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import NotChecked, Passed
from lrdiag.diagnosis.findings.checking import check_all
from lrdiag.record.data_facts import Correction, DataFacts, ImageRef
from lrdiag.record.experiments import Changed
from lrdiag.record.image_table import ImageTable
from lrdiag.record.observed import Inspection, Values

IMAGES, LABELS = coloured(500)
TRAINING = received(*coloured(700, seed=1), part="train")
CLEAN = received(IMAGES, LABELS)
DARK = received(IMAGES - np.float32(0.15), LABELS)


def correction(name: str, before: float, after: float, p_value: float = 1e-9, part: str = "test") -> Correction:
    return Correction(part, name, f"do({name!r})", 512, before, after, after - before - 0.05, p_value)  # type: ignore[arg-type]


def evidence(
    *tried: Correction, test: ImageTable = CLEAN, batches: tuple[float, ...] = (), **others: object
) -> Evidence:
    facts = dataclasses.replace(facts_of(balanced(2, 100, 80)), data=DataFacts(corrections=list(tried)))
    inspection = Inspection(training_data=image_set(draw_seconds=batches))
    return Evidence(facts, inspection=inspection, test_images=test, training_images=TRAINING, **others)  # type: ignore[arg-type]


class TestCorrectableInputs:
    def test_names_the_best_change_and_shows_images(self) -> None:
        picture = np.zeros((4, 4, 3), np.uint8)
        changed = {"channels reversed": [Changed(ImageRef("test", 7), "as it is, and changed", picture, picture + 9)]}
        tried = correction("channels reversed", 0.31, 0.76), correction("inverted", 0.31, 0.35)
        problem = found("correctable-inputs", evidence(*tried, changed=changed))
        assert problem.title == (
            "The test images are not prepared as the model expects them. Accuracy rises from 31.0 % to 76.0 % after "
            "this change: channels reversed."
        )
        assert problem.evidence == "Both were measured on 512 test images. Other changes: inverted 35.0 %."
        assert "`do('channels reversed')`" in problem.advice
        assert problem.value == 0.76 - 0.31
        assert [(each.image.index, len(each.pictures)) for each in problem.exhibits] == [(7, 2)]

    def test_says_how_test_images_differ(self) -> None:
        problem = found("correctable-inputs", evidence(correction("inverted", 0.5, 0.9), test=DARK))
        assert problem.evidence.endswith("Test images are darker than training images.")

    def test_the_threshold(self) -> None:
        assert isinstance(answer("correctable-inputs", evidence(correction("inverted", 0.7, 0.79))), Passed)
        assert found("correctable-inputs", evidence(correction("inverted", 0.7, 0.81))).severity is None
        assert answer("correctable-inputs", evidence()) == Passed(0.0, 0.1)

    def test_chance_is_not_reported(self) -> None:
        few = answer("correctable-inputs", evidence(correction("inverted", 0.5, 0.8, p_value=1e-4)))
        assert isinstance(few, NotChecked)

    def test_a_model_that_does_not_work_is_not_corrected(self) -> None:
        assert isinstance(answer("correctable-inputs", evidence(correction("inverted", 0.3, 0.55))), NotChecked)

    def test_training_images_do_not_count(self) -> None:
        assert isinstance(answer("correctable-inputs", evidence(correction("blur", 0.3, 0.9, part="train"))), Passed)


class TestShiftedTestSet:
    def test_passes(self) -> None:
        assert answer("shifted-test-set", evidence()) == Passed(0.0, 0.25)

    def test_a_shift_that_costs_accuracy_is_a_warning(self) -> None:
        cost = correction("brightness and contrast", 0.9, 0.7, part="train")
        problem = found("shifted-test-set", evidence(cost, test=DARK))
        assert problem.title == "Test images are darker than training images."
        assert problem.severity == "warning"
        assert "Brightness: 0.3" in problem.evidence
        assert problem.evidence.endswith(
            "If 512 training images are changed in the same way (brightness and contrast), their accuracy falls from "
            "90.0 % to 70.0 %."
        )
        assert [each.image.part for each in problem.exhibits] == ["test", "train"] * 6
        assert all(each.pictures[0].shape == (8, 8, 3) for each in problem.exhibits)
        shown = [each.pictures[0].mean() for each in problem.exhibits]
        assert max(shown[::2]) < min(shown[1::2])

    def test_a_harmless_shift_is_a_note(self) -> None:
        problem = found("shifted-test-set", evidence(correction("noise", 0.9, 0.89, part="train"), test=DARK))
        assert problem.severity == "note"
        assert "recognized about as well: 90.0 % before and 89.0 % after." in problem.evidence

    def test_augmented_training_images_prove_nothing(self) -> None:
        assert isinstance(answer("shifted-test-set", evidence(test=DARK, batches=(0.1,))), NotChecked)

    def test_few_images_are_not_compared(self) -> None:
        few = dataclasses.replace(DARK, inputs=IMAGES[:20], input_rows=np.arange(20))
        assert isinstance(answer("shifted-test-set", evidence(test=few)), NotChecked)


def test_one_problem_is_one_finding() -> None:
    """The scale explains the correction, and both explain what differs."""
    bytes_ = received(255 * IMAGES, LABELS)
    seen = evidence(correction("divided by 255", 0.5, 0.9), test=bytes_)
    values = Values(0.0, 255.0, 120.0, 64.0, 60.0)
    inspection = Inspection(training_data=image_set(), validation_data=image_set(values=values))
    codes = ("input-mismatch", "correctable-inputs", "shifted-test-set")
    findings = check_all(dataclasses.replace(seen, inspection=inspection)).findings
    root = next(each for each in findings if each.code in codes)
    assert root.code == "input-mismatch"
    assert {"correctable-inputs", "shifted-test-set"} <= {each.code for each in root.effects}
