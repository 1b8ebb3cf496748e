import numpy as np
from sklearn.datasets import load_digits

from lrdiag.data.sources.digits import Digits


def test_digits_are_colour_images_of_the_full_range(progress):
    dataset = Digits().load(progress)
    images = dataset.train.images
    assert images.shape == (1437, 32, 32, 3)
    assert dataset.test.images.shape == (360, 32, 32, 3)
    assert (images.min(), images.max()) == (0, 255)
    np.testing.assert_array_equal(images[..., 0], images[..., 2])
    assert dataset.classes == tuple("0123456789")


def test_digits_keep_their_labels_and_shapes(progress):
    """Averaging 4 × 4 pixels restores the original digit."""
    original = load_digits()
    dataset = Digits().load(progress)
    small = dataset.test.images[..., 0].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)) * (16 / 255)
    distances = np.abs(small[:, None] - original.images[None]).mean(axis=(2, 3))
    np.testing.assert_array_equal(original.target[distances.argmin(axis=1)], dataset.test.labels)
    assert distances.min(axis=1).max() < 1.5


def test_every_class_is_split_in_the_same_proportion_and_reproducibly(progress):
    first, second = Digits().load(progress), Digits().load(progress)
    share = np.bincount(first.test.labels) / np.bincount(load_digits().target)
    assert np.abs(share - 0.2).max() < 0.006, "one image of a class of 180 at most"
    np.testing.assert_array_equal(first.test.images, second.test.images)
    np.testing.assert_array_equal(first.train.labels, second.train.labels)
