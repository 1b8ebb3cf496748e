"""The accuracy without suspects and without copies."""

from __future__ import annotations

import numpy as np

from lrdiag.diagnosis.estimates import estimates_of
from lrdiag.intervals import wilson
from lrdiag.record.arrays import Predictions
from lrdiag.record.data_facts import Copies, Copy, Estimate, ImageRef, Suspect
from lrdiag.record.image_table import Part

# ten images of class 0; the last four are predicted as class 1
PREDICTIONS = Predictions.from_scores(np.eye(2)[[0] * 6 + [1] * 4] * 5, np.zeros(10, int))


def suspect(index: int, score: float = 0.9, part: Part = "test") -> Suspect:
    return Suspect(ImageRef(part, index), 0, 1, score, "")


def copies(*indices: int, test_in_train: int | None = None) -> Copies:
    pairs = [Copy(ImageRef("test", index), ImageRef("train", 40 + index), "exact", True) for index in indices]
    pairs += [Copy(ImageRef("test", 9), ImageRef("test", 8), "near", True)]
    return Copies(pairs, len({*indices}) if test_in_train is None else test_in_train, 1, 0, 100)


def test_without_suspects_of_the_test_set() -> None:
    suspects = [suspect(7), suspect(8), suspect(0), suspect(1, 0.4), suspect(2, part="train")]
    assert estimates_of(PREDICTIONS, suspects, None) == [Estimate("suspected label errors", 3, 5 / 7, *wilson(5, 7))]


def test_without_copies_of_training_images() -> None:
    found = estimates_of(PREDICTIONS, [], copies(0, 1, 1, 2))
    assert found == [Estimate("copies of training images", 3, 3 / 7, *wilson(3, 7))]


def test_both_come_in_this_order() -> None:
    found = estimates_of(PREDICTIONS, [suspect(9)], copies(0))
    assert [each.without for each in found] == ["suspected label errors", "copies of training images"]


def test_what_leaves_out_nothing_or_everything_is_not_an_estimate() -> None:
    assert estimates_of(PREDICTIONS, None, None) == []
    assert estimates_of(PREDICTIONS, [suspect(3, 0.49)], copies()) == []
    assert estimates_of(PREDICTIONS, [suspect(index) for index in range(10)], copies(*range(10))) == []


def test_copies_that_are_not_all_listed_give_no_estimate() -> None:
    assert estimates_of(PREDICTIONS, [], copies(0, 1, test_in_train=3)) == []
