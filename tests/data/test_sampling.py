import numpy as np
import pytest

from lrdiag.data.sampling import hold_out_validation, random_subset, subset
from lrdiag.errors import DataError
from lrdiag.record.arrays import Dataset, LabelledImages

CLASSES = ("ant", "bee", "cat")


def images_of(counts) -> LabelledImages:
    """Images in random order. The first two pixels contain the index, so that a selection can be traced."""
    labels = np.random.default_rng(5).permutation(np.repeat(np.arange(len(counts)), counts))
    images = np.zeros((len(labels), 1, 2, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(len(labels)), 256)
    return LabelledImages(images, labels, tuple(f"{place}.png" for place in range(len(labels))))


def places(images: LabelledImages) -> np.ndarray:
    return images.images[:, 0, 0, 0].astype(int) * 256 + images.images[:, 0, 1, 0]


def dataset_of(counts, classes=CLASSES) -> Dataset:
    return Dataset("d", "nowhere", classes, images_of(counts), images_of([2] * len(classes)))


@pytest.mark.parametrize(
    ("counts", "size", "expected"),
    [
        ([100, 100, 100], 30, [10, 10, 10]),
        ([800, 150, 50], 100, [80, 15, 5]),
        ([996, 2, 2], 100, [98, 1, 1]),
        ([996, 2, 2], 3, [1, 1, 1]),
        ([50, 0, 50], 10, [5, 0, 5]),
        ([5, 5, 5], 99, [5, 5, 5]),
    ],
)
def test_a_subset_keeps_the_proportions(counts, size, expected):
    assert np.bincount(subset(images_of(counts), size, CLASSES, 0).labels, minlength=3).tolist() == expected


@pytest.mark.parametrize("seed", range(20))
def test_with_an_odd_size_classes_differ_by_at_most_one_image(seed):
    counts = np.bincount(subset(images_of([90, 90, 90]), 31, CLASSES, seed).labels)
    assert sorted(counts) == [10, 10, 11]


def test_the_odd_image_may_belong_to_any_class():
    draws = [subset(images_of([90, 90, 90]), 31, CLASSES, seed).labels for seed in range(30)]
    assert {int(np.bincount(labels).argmax()) for labels in draws} == {0, 1, 2}


def test_a_subset_is_drawn_without_replacement_in_the_original_order():
    images = images_of([300, 100, 100])
    drawn = subset(images, 77, CLASSES, 0)
    assert (np.diff(places(drawn)) > 0).all()
    np.testing.assert_array_equal(drawn.labels, images.labels[places(drawn)])
    assert drawn.files == tuple(f"{place}.png" for place in places(drawn))


def test_every_image_is_drawn_as_often_as_any_other():
    images = images_of([20, 20, 10])
    drawn = np.zeros(50)
    for seed in range(400):
        drawn[places(subset(images, 25, CLASSES, seed))] += 1
    assert np.abs(drawn / 400 - 0.5).max() < 0.12  # 4.8 standard deviations


def test_the_seed_chooses_the_subset():
    images = images_of([100, 100, 100])
    first, again, other = (places(subset(images, 30, CLASSES, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_limit_below_the_number_of_classes_is_an_error():
    with pytest.raises(DataError, match=r"at least one image of each class: 3 or more of ant, bee, cat\. Received: 2"):
        subset(images_of([5, 5, 5]), 2, CLASSES, 0)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([500, 300, 200], [50, 30, 20]),
        ([996, 2, 2], [98, 1, 1]),
        ([2, 2, 2], [1, 1, 1]),
        ([4, 4, 4], [1, 1, 1]),
    ],
)
def test_validation_keeps_the_proportions(counts, expected):
    dataset = hold_out_validation(dataset_of(counts), 0.1, 0)
    assert np.bincount(dataset.validation.labels, minlength=3).tolist() == expected
    assert np.bincount(dataset.train.labels, minlength=3).tolist() == (np.array(counts) - expected).tolist()


def test_every_image_is_in_training_or_in_validation():
    whole = dataset_of([500, 300, 200])
    divided = hold_out_validation(whole, 0.1, 0)
    together = np.concatenate([places(divided.train), places(divided.validation)])
    assert sorted(together) == list(range(1000))
    assert (np.diff(places(divided.train)) > 0).all()
    assert (np.diff(places(divided.validation)) > 0).all()
    assert divided.test is whole.test


def test_fraction_and_seed_choose_the_validation_images():
    dataset = dataset_of([100, 100, 100])
    base = places(hold_out_validation(dataset, 0.1, 0).validation)
    assert len(places(hold_out_validation(dataset, 0.2, 0).validation)) == 60
    assert not np.array_equal(base, places(hold_out_validation(dataset, 0.1, 1).validation))
    np.testing.assert_array_equal(base, places(hold_out_validation(dataset, 0.1, 0).validation))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([9, 1, 9], "Received: 1 of class 'bee'"),
        ([9, 9, 0], "Received: 0 of class 'cat'"),
    ],
)
def test_a_class_that_cannot_be_divided_is_named(counts, message):
    with pytest.raises(DataError, match=message):
        hold_out_validation(dataset_of(counts), 0.1, 0)


@pytest.mark.parametrize("fraction", [0, -0.1, 0.6, float("nan")])
def test_a_fraction_out_of_range_is_an_error(fraction):
    with pytest.raises(DataError, match=r"above 0 and at most 0\.5"):
        hold_out_validation(dataset_of([9, 9, 9]), fraction, 0)


def test_a_class_absent_from_the_test_set_is_fine():
    dataset = Dataset("d", "nowhere", CLASSES, images_of([9, 9, 9]), images_of([3, 3]))
    assert len(hold_out_validation(dataset, 0.1, 0).validation) == 3


def test_a_random_subset_is_drawn_evenly_and_by_the_seed(numbered_images):
    images = numbered_images(200)
    draws = [random_subset(images, 100, seed).images[:, 0, 0, 0] for seed in range(200)]
    for draw in draws:
        assert (np.diff(draw.astype(int)) > 0).all()  # without replacement, in the original order
    counts = np.bincount(np.concatenate(draws), minlength=200)
    assert abs(counts - 100).max() < 40  # of 200 draws with probability 1/2, five standard deviations are 35
    np.testing.assert_array_equal(draws[3], random_subset(images, 100, 3).images[:, 0, 0, 0])
    assert random_subset(images, 200, 0) is images
