"""Copies in and between sets, with the indices of the sets."""

from __future__ import annotations

import dataclasses

import numpy as np
from fixtures.image_tables import table_of
from fixtures.pictures import photographs

from lrdiag.diagnosis.copying import find_copies
from lrdiag.record.data_facts import Copy, Groups, ImageRef
from lrdiag.record.image_table import ImageTable

PICTURES = photographs(160)
LABELS = np.arange(160) % 4
NO = np.zeros(160, bool)


def tables() -> tuple[ImageTable, ImageTable]:
    """60 test images and 100 training images, of which every second image of a set of 200 is kept."""
    pictures, labels = PICTURES.copy(), LABELS.copy()
    pictures[[3, 7]] = pictures[[103, 107], :, ::-1]  # test images 3 and 7 are training images 43 and 47, mirrored
    pictures[9] = pictures[8]  # within the test set
    pictures[[61, 62]] = pictures[60]  # within the training set
    labels[[3, 7, 9, 8, 60, 61]] = labels[[103, 107, 8, 8, 60, 60]]
    labels[62] = (labels[60] + 1) % 4
    wrong = NO.copy()
    wrong[3] = True
    train = table_of(pictures[60:], labels[60:], NO[60:], part="train")
    train = dataclasses.replace(train, size=200, indices=2 * np.arange(100))
    return table_of(pictures[:60], labels[:60], wrong[:60]), train


def test_copies_have_the_indices_of_their_sets() -> None:
    found = find_copies(*tables())
    assert (found.test_in_train, found.correct, found.within_test, found.within_train) == (2, 1, 1, 2)
    assert (found.searched, found.other_labels) == (160, 1)
    assert found.pairs == [
        Copy(ImageRef("test", 3), ImageRef("train", 86), "mirrored", True),
        Copy(ImageRef("test", 7), ImageRef("train", 94), "mirrored", True),
        Copy(ImageRef("train", 4), ImageRef("train", 0), "exact", False),
        Copy(ImageRef("test", 9), ImageRef("test", 8), "exact", True),
        Copy(ImageRef("train", 2), ImageRef("train", 0), "exact", True),
    ]


def test_a_copy_is_found_through_a_third_image() -> None:
    """Of equal images, each is compared with the next one only."""
    pictures = PICTURES.copy()
    pictures[[1, 2, 150]] = pictures[0]
    found = find_copies(
        table_of(pictures[:60], LABELS[:60], NO[:60]), table_of(pictures[60:], LABELS[60:], NO[60:], part="train")
    )
    assert found.test_in_train == 3
    assert {copy.original for copy in found.pairs[:3]} == {ImageRef("train", 90)}
    assert {copy.kind for copy in found.pairs} == {"exact"}


def test_a_test_set_is_searched_alone() -> None:
    found = find_copies(tables()[0])
    assert (found.test_in_train, found.within_test, found.searched, found.shared_groups) == (0, 1, 60, None)


def test_grey_images_are_compared_with_colour_images() -> None:
    grey = np.round(PICTURES[:60].mean(axis=3, keepdims=True)).astype(np.uint8)
    found = find_copies(table_of(grey, LABELS[:60], NO[:60]), table_of(PICTURES, LABELS, NO, part="train"))
    assert found.test_in_train == 60


def test_groups_in_both_sets_are_shared() -> None:
    test, train = tables()
    groups = Groups(["a"] * 20 + ["b"] * 30 + [""] * 10, ["c"] * 100 + ["", "b"] * 50)
    shared = find_copies(test, train, groups).shared_groups
    assert shared is not None
    assert (shared.names, shared.count, shared.groups, shared.test_images, shared.correct) == (["b"], 1, 2, 30, 30)
    assert shared.pairs == [], "only every second training image is in the table, and none of these is of group b"
    groups = Groups(groups.test, ["b"] * 200)
    shared = find_copies(test, train, groups).shared_groups
    assert shared is not None
    assert shared.pairs == [Copy(ImageRef("test", 20), ImageRef("train", 0), "group", True)]
    assert find_copies(test, train, Groups(groups.test, [])).shared_groups is None
