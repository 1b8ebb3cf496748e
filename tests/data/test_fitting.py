"""Sizes and channels."""

import cv2
import numpy as np
import pytest

from lrdiag.data.fitting import Fitting, Sizes, fit_all
from lrdiag.data.sources.image_folder import ImageFolder
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


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of images of many sizes, in two classes."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for number, (height, width) in enumerate([(48, 96), (96, 48), (40, 40), (33, 77), (20, 15), (200, 31), (32, 24)]):
        rough = random.integers(0, 256, (9, 9, 3), np.uint8)
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "ab"[number % 2] / f"{number}.png"), cv2.resize(rough, (width, height)))
    return folder


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
@pytest.mark.parametrize(
    ("resize", "option"),
    [("stretch", {}), ("crop", {"crop_to_aspect_ratio": True}), ("pad", {"pad_to_aspect_ratio": True})],
)
def test_the_pixels_are_those_of_the_loader_of_keras(photographs, progress, size, resize, option):
    from keras.utils import image_dataset_from_directory

    batches = image_dataset_from_directory(
        photographs, image_size=size, shuffle=False, batch_size=None, verbose=False, **option
    )
    expected = np.stack([image for image, _ in batches.as_numpy_iterator()])
    dataset = ImageFolder(photographs, Fitting(size, resize=resize)).load(progress, test_only=True)
    assert np.abs(dataset.test.images - expected).max() < 1, "rounded to integers"
    words = {"stretch": "stretched to", "crop": "cropped to the proportions of", "pad": "scaled into"}
    assert dataset.notes[0].startswith("Images of other sizes (7 of 7) were " + words[resize])


def test_images_are_counted_by_size_and_proportions():
    fitting, same, larger = Fitting((10, 20)), Sizes(), Sizes()
    same.add((10, 20, 3), fitting.size, 5)
    larger.add((20, 40, 3), fitting.size, 5)
    assert fitting.notes(same) == []
    assert fitting.notes(larger) == ["Images of other sizes (5 of 5) were scaled to 20 × 10 pixels."]
    assert Fitting().notes(larger) == []
