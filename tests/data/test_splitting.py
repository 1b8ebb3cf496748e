"""Which parts are read, and how undivided data is divided."""

import numpy as np
import pytest

from lrdiag.data.sampling import split_by_class
from lrdiag.data.splitting import assemble, part_named, parts_to_read
from lrdiag.errors import DataError
from lrdiag.record.arrays import LabelledImages, SkippedFile


@pytest.mark.parametrize(
    ("name", "part"),
    [("train", "train"), ("Training", "train"), ("val", "validation"), ("VALID", "validation"), (" test ", "test"),
     ("testing", "test"), ("tests", None), ("whole", None), ("", None), ("training_set", "train"), ("seg_test", "test"),
     ("train-data", "train"), ("TestSet", "test"), ("valimages", "validation"), ("dev", "validation"),
     ("eval", "validation"), ("train2017", "train"), ("cats_train", None), ("train_test", None), ("terrain", None),
     ("contest", None)],
)  # fmt: skip
def test_names_of_parts(name, part):
    assert part_named(name) == part


@pytest.mark.parametrize(
    ("present", "all_of_them", "to_evaluate"),
    [
        (["whole"], ["whole"], ["whole"]),
        (["test", "train"], ["train", "test"], ["test"]),
        (["test", "train", "validation"], ["train", "validation", "test"], ["test"]),
        (["whole", "test", "train"], ["train", "test"], ["test"]),
    ],
)
def test_which_parts_are_read(present, all_of_them, to_evaluate):
    assert parts_to_read(present, "here", test_only=False) == all_of_them
    assert parts_to_read(present, "here", test_only=True) == to_evaluate


def test_training_images_are_required_only_for_training():
    assert parts_to_read(["test"], "here", test_only=True) == ["test"]
    with pytest.raises(DataError, match=r"training images, called train.* Received: here with test only"):
        parts_to_read(["test"], "here", test_only=False)


@pytest.mark.parametrize("test_only", [True, False])
@pytest.mark.parametrize("present", [["train"], ["train", "validation"], ["validation"], ["whole", "train"]])
def test_test_images_are_required(present, test_only):
    with pytest.raises(DataError, match=r"called test\. Add them, or .* Received: here with"):
        parts_to_read(present, "here", test_only=test_only)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([100, 50, 10], [20, 10, 2]),
        ([1, 2, 3, 4, 7, 8], [0, 1, 1, 1, 1, 2]),
        ([500], [100]),
    ],
)
def test_a_fifth_of_each_class_is_chosen(counts, expected):
    labels = np.random.default_rng(3).permutation(np.repeat(np.arange(len(counts)), counts))
    rest, chosen = split_by_class(labels, 0.2)
    assert np.bincount(labels[chosen], minlength=len(counts)).tolist() == expected
    assert sorted([*rest, *chosen]) == list(range(len(labels)))
    assert (np.diff(rest) > 0).all()
    assert (np.diff(chosen) > 0).all()


def test_the_fraction_changes_the_number():
    rest, chosen = split_by_class(np.zeros(40, int), 0.25)
    assert (len(rest), len(chosen)) == (30, 10)


def test_the_choice_is_random_and_reproducible():
    _, first = split_by_class(np.zeros(1000, int), 0.5)
    _, second = split_by_class(np.zeros(1000, int), 0.5)
    np.testing.assert_array_equal(first, second)
    assert abs(first.mean() - 500) < 40, "over the whole range: four standard deviations"
    assert 100 < np.count_nonzero(np.diff(first) == 1) < 400, "not in one piece, not every other: 250 are expected"


def images(*labels):
    return LabelledImages(np.zeros((len(labels), 2, 2, 3), np.uint8), np.array(labels, np.int64))


def test_parts_are_assigned_by_name():
    parts = {"train": images(0, 1), "validation": images(0, 0, 1), "test": images(1)}
    dataset = assemble("d", "here", ["a", "b"], parts, test_only=False, skipped=[SkippedFile("x", "y")])
    assert (dataset.name, dataset.source, dataset.classes) == ("d", "here", ("a", "b"))
    assert (dataset.train, dataset.validation, dataset.test) == (parts["train"], parts["validation"], parts["test"])
    assert dataset.skipped == (SkippedFile("x", "y"),)


def test_undivided_data_is_divided_for_training_and_used_whole_for_evaluation():
    whole = {"whole": images(*[0, 1] * 10)}
    divided = assemble("d", "here", ["a", "b"], whole, test_only=False)
    assert np.bincount(divided.train.labels).tolist() == [8, 8]
    assert np.bincount(divided.test.labels).tolist() == [2, 2]
    evaluated = assemble("d", "here", ["a", "b"], whole, test_only=True)
    assert (len(evaluated.train), evaluated.test) == (0, whole["whole"])


def test_too_few_images_to_divide_is_an_error():
    with pytest.raises(DataError, match="The test set is empty"):
        assemble("d", "here", ["a", "b"], {"whole": images(0, 1)}, test_only=False)


def test_a_class_without_images_is_an_error_only_for_training():
    parts = {"train": images(0, 0), "test": images(0, 1)}
    with pytest.raises(DataError, match=r"Received: none of class 'b' in here$"):
        assemble("d", "here", ["a", "b"], parts, test_only=False)
    assert assemble("d", "here", ["a", "b"], {"test": images(0)}, test_only=True).test.labels.tolist() == [0]


def test_labels_without_a_class_are_an_error():
    with pytest.raises(DataError, match=r"between 0 and 1.*Received: 2 in the test set of here"):
        assemble("d", "here", ["a", "b"], {"train": images(0, 1), "test": images(2)}, test_only=False)
    with pytest.raises(DataError, match=r"between 0 and 1.*Received: -1 in the training set of here"):
        assemble("d", "here", ["a", "b"], {"train": images(0, -1), "test": images(1)}, test_only=False)
