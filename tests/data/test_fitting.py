"""Sizes and channels."""

import numpy as np
import pytest

from lrdiag.data.fitting import Fitting, fit_all
from lrdiag.record.arrays import LabelledImages


@pytest.mark.parametrize("shape", [(50, 90), (50, 90, 1), (50, 90, 3), (50, 90, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_image_is_converted_to_every_shape(shape, channels):
    image = np.full(shape, 77, np.uint8)
    for size in ((20, 48), (50, 90), (100, 100)):
        fitted = Fitting(size, channels)(image)
        assert fitted.shape == (*size, channels)
        assert fitted.dtype == np.uint8
        assert (fitted == 77).all()


def test_grey_is_the_luma_of_television():
    """0.299, 0.587 and 0.114 (ITU-R BT.601)."""
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert Fitting((1, 4), 1)(colours)[0, :, 0].tolist() == [76, 150, 29, 255]


def test_opacity_is_dropped():
    image = np.dstack([np.full((4, 4, 3), (10, 20, 30), np.uint8), np.zeros((4, 4), np.uint8)])
    assert Fitting((4, 4))(image)[0, 0].tolist() == [10, 20, 30]


def test_fit_all_equals_fit_of_each_image():
    random = np.random.default_rng(0)
    images = LabelledImages(random.integers(0, 256, (5, 28, 20, 1), np.uint8), np.arange(5), tuple("abcde"))
    fitted = fit_all(images, Fitting((14, 16)))
    for before, after in zip(images.images, fitted.images, strict=True):
        np.testing.assert_array_equal(after, Fitting((14, 16))(before))
    assert fitted.files == images.files
    assert fitted.labels is images.labels


def test_without_a_size_images_keep_theirs():
    images = LabelledImages(np.full((2, 28, 20, 3), 9, np.uint8), np.arange(2))
    assert fit_all(images, Fitting()) is images
    assert fit_all(images, Fitting((28, 20))) is images
    assert fit_all(images, Fitting(channels=1)).images.shape == (2, 28, 20, 1)


def test_shrinking_to_half_is_the_mean_of_four_pixels():
    image = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    means = image.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    assert np.abs(Fitting((4, 4), 1)(image)[..., 0] - means).max() <= 0.5
