"""Rules about images that are there more than once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fixtures.diagnoses import balanced, facts_of, result
from fixtures.image_tables import noise, table_of

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import Found
from lrdiag.diagnosis.findings.copies import copies_with_other_labels, leaked_copies, leaked_groups, repeated_images
from lrdiag.formats import plain
from lrdiag.record.data_facts import Copies, Copy, CopyKind, DataFacts, ImageRef, SharedGroups

LABELS = np.repeat(np.arange(10), 20)
WRONG = np.arange(200) % 5 == 0
TEST, TRAIN = (table_of(noise(200), LABELS, WRONG, part=part) for part in ("test", "train"))


def leaks(number: int, kind: CopyKind = "mirrored") -> list[Copy]:
    return [Copy(ImageRef("test", row), ImageRef("train", row + 5), kind, same_label=True) for row in range(number)]


def evidence(copies: Copies, complete: bool = True) -> Evidence:
    facts = facts_of(balanced(10, 20, 16), data=DataFacts(copies=copies))
    train = TRAIN if complete else dataclasses.replace(TRAIN, size=900)
    return Evidence(facts, test_images=TEST, training_images=train)


def found(answer: object) -> Found:
    assert isinstance(answer, Found)
    return answer


@pytest.mark.parametrize(("number", "severity"), [(1, "note"), (4, "note"), (5, "warning"), (10, "error")])
def test_few_leaked_copies_are_a_note_and_many_an_error(number: int, severity: str) -> None:
    known = evidence(Copies(leaks(number), number, 0, 0, 400, correct=number))
    assert found(leaked_copies(known, 0.02)).severity == severity


@pytest.mark.parametrize(("correct", "severity"), [(6, "note"), (2, "warning")])
def test_similar_photographs_are_a_note_unless_they_change_the_accuracy(correct: int, severity: str) -> None:
    """80 % of all images are classified correctly."""
    known = evidence(Copies(leaks(8, "scaled"), 8, 0, 0, 400, correct=correct))
    assert found(leaked_copies(known, 0.02)).severity == severity


def test_leaked_copies_are_shown_beside_their_originals() -> None:
    pairs = [*leaks(19), Copy(ImageRef("test", 40), ImageRef("train", 7), "scaled", same_label=False)]
    answer = found(leaked_copies(evidence(Copies(pairs, 20, 0, 0, 400, correct=18), complete=False), 0.02))
    assert plain(answer.title) == "20 test images are copies of training images (10.0 %)."
    assert plain(answer.evidence) == (
        "Of these: 19 mirrored, 1 cut or scaled. 90.0 % of these copies are classified correctly, and 78.9 % of the "
        "other test images. Only 200 of 900 training images were searched."
    )
    assert answer.images == [*range(19), 40]
    first = answer.exhibits[0]
    assert (first.image, first.caption) == (ImageRef("test", 40), "cut or scaled: training image 7; labels 2 and 0")
    np.testing.assert_array_equal(first.pictures[0], TEST.pictures[40])
    np.testing.assert_array_equal(first.pictures[1], TRAIN.pictures[7])


def test_the_leak_known_before_training_explains_the_copies() -> None:
    known = evidence(Copies(leaks(30, "exact"), 30, 0, 0, 400, correct=20))
    assert result(known, "leaked-copies").status == "found"


def test_what_can_not_be_told_apart_is_said() -> None:
    known = evidence(Copies(leaks(9, "exact"), 9, 0, 0, 400, correct=9, tells_near=False))
    assert "Only copies with equal pixels are counted" in found(leaked_copies(known, 0.02)).evidence


def test_without_copies_all_rules_pass() -> None:
    known = evidence(Copies([], 0, 0, 0, 400))
    for code in ("leaked-copies", "repeated-images", "copies-with-other-labels"):
        assert result(known, code).status == "passed"
    assert result(known, "leaked-groups").reason == "the groups of test and training images are not known"
    assert result(Evidence(facts_of(balanced(10, 20, 16))), "leaked-copies").status == "not checked"


@pytest.mark.parametrize(("number", "severity"), [(10, "note"), (11, None)])
def test_repeated_images_are_counted_in_each_set(number: int, severity: str | None) -> None:
    pairs = [Copy(ImageRef("train", row), ImageRef("train", 0), "exact", same_label=True) for row in range(number)]
    answer = found(repeated_images(evidence(Copies(pairs, 0, 0, number, 400)), 0.05))
    assert answer.severity == severity
    assert plain(answer.title).endswith("of the training images repeat other images of the same set.")
    assert answer.images == []


def test_copies_with_other_labels_name_both_test_images() -> None:
    pairs = [*leaks(3), Copy(ImageRef("test", 30), ImageRef("test", 99), "exact", same_label=False)]
    answer = found(copies_with_other_labels(evidence(Copies(pairs, 3, 1, 0, 400, other_labels=1)), 0.001))
    assert answer.title == "1 image has another label than a copy of the same image."
    assert answer.images == [30, 99]
    assert (answer.severity, answer.exhibits[0].caption) == (None, "equal: test image 99; labels 1 and 4")


def test_shared_groups_are_named() -> None:
    pairs = [Copy(ImageRef("test", 8), ImageRef("train", 3), "group", same_label=True)]
    shared = SharedGroups(["p1", "p2"], 2, 9, 40, 36, pairs)
    answer = found(leaked_groups(evidence(Copies([], 0, 0, 0, 400, shared_groups=shared)), 0.02))
    assert answer.title == "2 groups of images are in the test set and in the training set."
    assert plain(answer.evidence) == (
        "20.0 % of the test images (40 of 200) are of a group that the model was trained on: “p1”, “p2”. The test set "
        "has 9 groups. 90.0 % of these images are classified correctly, and 77.5 % of the other test images."
    )
    assert (answer.severity, answer.exhibits[0].caption) == ("error", "of the same group: training image 3")
