"""The accuracy without suspects and without copies."""

from __future__ import annotations

import numpy as np
from fixtures.image_tables import noise, part_of, table_of

from lrdiag.diagnosis.estimates import estimates_of
from lrdiag.intervals import wilson
from lrdiag.record.data_facts import Copies, Estimate, ImageRef, Suspect
from lrdiag.record.image_table import Part

# ten images, of which the last four are misclassified
TEST = table_of(noise(10), np.arange(10) % 2, np.arange(10) >= 6)


def suspect(index: int, part: Part = "test") -> Suspect:
    return Suspect(ImageRef(part, index), 0, 1, 0.9, "")


def copies(count: int, correct: int) -> Copies:
    return Copies([], count, within_test=3, within_train=0, searched=100, correct=correct)


def test_without_suspects_of_the_test_set() -> None:
    suspects = [suspect(7), suspect(8), suspect(0), suspect(2, "train")]
    assert estimates_of(TEST, suspects, None) == [Estimate("suspected label errors", 3, 5 / 7, *wilson(5, 7))]


def test_without_copies_of_training_images() -> None:
    found = estimates_of(TEST, [], copies(3, correct=2))
    assert found == [Estimate("copies of training images", 3, 4 / 7, *wilson(4, 7))]


def test_both_come_in_this_order() -> None:
    found = estimates_of(TEST, [suspect(9)], copies(1, 1))
    assert [each.without for each in found] == ["suspected label errors", "copies of training images"]


def test_what_leaves_out_nothing_or_everything_is_not_an_estimate() -> None:
    assert estimates_of(TEST, None, None) == []
    assert estimates_of(TEST, [suspect(3, "train")], copies(0, 0)) == []
    assert estimates_of(TEST, [suspect(index) for index in range(10)], copies(10, 6)) == []


def test_of_a_sample_its_own_images_count() -> None:
    sample = part_of(TEST, np.array([1, 5, 7, 8, 9]))
    found = estimates_of(sample, [suspect(7), suspect(8)], None)
    assert found == [Estimate("suspected label errors", 2, 2 / 3, *wilson(2, 3))]
