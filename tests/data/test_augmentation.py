from functools import partial

import numpy as np
import pytest

from lrdiag.data.augmentation import build_augmentation, cropped, erased, rectangles
from lrdiag.errors import SettingsError

COUNT = 2000


def coordinates(count: int, height: int = 32, width: int = 32) -> np.ndarray:
    """Images whose pixels contain their own row and column."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=-1)
    return np.broadcast_to(image, (count, height, width, 3)).astype("uint8")


def fill_of(count: int = COUNT, height: int = 32, width: int = 32, *, seed: int = 0, **options) -> np.ndarray:
    """What `erased` fills in, and 300 elsewhere, which cannot be filled in: an array of shape (count, 32, 32, 3)."""
    images = np.full((count, height, width, 3), 300, np.int16)
    return erased(images, np.random.default_rng(seed), **options)


def found_rectangles(masks: np.ndarray) -> np.ndarray:
    """Top, left, height and width of each mask, after a check that each is one full rectangle."""
    found = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert mask.sum() == height * width
        found.append((rows[0], columns[0], height, width))
    return np.array(found)


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    """Booleans of shape (COUNT, 32, 32): what was filled."""
    return (fill_of(seed=3) != 300).all(axis=-1)


def test_half_of_the_images_are_erased(masks):
    share = masks.any(axis=(1, 2)).mean()
    assert abs(share - 0.5) < 0.045  # four standard deviations


def test_erased_areas_and_aspects_span_their_ranges(masks):
    _, _, height, width = found_rectangles(masks[masks.any(axis=(1, 2))]).T
    area, aspect = height * width / 1024, height / width
    assert 0.02 <= area.min() < 0.03
    assert 0.37 < area.max() <= 0.40
    assert 0.3 <= aspect.min() < 0.36
    assert 2.8 < aspect.max() <= 3.3
    assert abs(np.log(aspect).mean()) < 0.09, "tall and wide rectangles are equally frequent"


def test_area_is_uniform_and_aspect_log_uniform_if_every_rectangle_fits():
    """As in the paper. Small areas fit with every aspect ratio, so no rectangle is drawn again."""
    height, width = rectangles(224, 224, (0.02, 0.2), (0.3, 3.3)).T.astype(float)
    for values, low, high in ((height * width / 224**2, 0.02, 0.2), (np.log(height / width), np.log(0.3), np.log(3.3))):
        counts, _ = np.histogram(values, bins=8, range=(low, high))
        assert counts.max() / counts.min() < 1.06


def test_erased_rectangles_reach_every_edge(masks):
    top, left, height, width = found_rectangles(masks[masks.any(axis=(1, 2))]).T
    assert (top.min(), left.min()) == (0, 0)
    assert ((top + height).max(), (left + width).max()) == (32, 32)


def test_the_fill_is_random_pixels_of_the_full_range():
    filled = fill_of(200, probability=1.0)
    fill = filled[filled != 300]
    assert (fill.min(), fill.max()) == (0, 255)
    assert abs(fill.mean() - 127.5) < 1
    assert len(np.unique(filled[0][filled[0] != 300])) > 10, "one image is filled with many values"


@pytest.mark.parametrize(
    ("options", "measure", "low", "high"),
    [
        ({"probability": 1.0}, lambda height, width, struck: struck, 1.0, 1.0),
        ({"probability": 0.1}, lambda height, width, struck: struck, 0.05, 0.15),
        ({"area": (0.3, 0.4)}, lambda height, width, struck: (height * width).min() / 1024, 0.3, 0.31),
        ({"aspect": (1.0, 1.0)}, lambda height, width, struck: np.abs(height - width).max(), 0, 0),
    ],
)
def test_each_argument_of_erasing_changes_what_is_erased(options, measure, low, high):
    masks = (fill_of(600, seed=1, **options) != 300).all(axis=-1)
    struck = masks.any(axis=(1, 2))
    _, _, height, width = found_rectangles(masks[struck]).T
    assert low <= measure(height, width, struck.mean()) <= high


def test_erasing_fits_images_that_are_not_square():
    masks = (fill_of(300, 16, 48, probability=1.0) != 300).all(axis=-1)
    _, _, height, width = found_rectangles(masks).T
    assert (height.max(), width.max()) <= (16, 48)
    assert (height * width).max() <= 0.4 * 16 * 48


def test_images_that_are_too_small_for_a_rectangle_stay_as_they_are():
    assert (fill_of(5, 1, 1, probability=1.0) == 300).all()


def test_each_image_is_cropped_at_its_own_position():
    shifts = cropped(coordinates(COUNT), np.random.default_rng(0))[:, 16, 16, :2].astype(int) - 16
    assert shifts.min(axis=0).tolist() == [-4, -4]
    assert shifts.max(axis=0).tolist() == [4, 4]
    counts = np.bincount((shifts[:, 0] + 4) * 9 + shifts[:, 1] + 4, minlength=81)
    assert ((counts - COUNT / 81) ** 2 / (COUNT / 81)).sum() < 140  # chi-squared of 80 degrees of freedom, p = 4e-5


@pytest.mark.parametrize(("height", "width"), [(32, 32), (9, 24), (3, 1)])
def test_a_crop_equals_one_of_numpys_reflected_padding(height, width):
    """Images smaller than the padding are reflected more than once."""
    images = np.random.default_rng(0).integers(0, 256, (50, height, width, 3), np.uint8)
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    places = np.random.default_rng(7).integers(-4, 5, (2, 50)).T + 4
    for image, whole, (top, left) in zip(cropped(images, np.random.default_rng(7)), padded, places, strict=True):
        np.testing.assert_array_equal(image, whole[top : top + height, left : left + width])


def test_an_image_is_mirrored_in_every_other_pass_and_a_random_half_in_the_first():
    augment = build_augmentation(("flip",), 0, COUNT)
    places = np.random.default_rng(0).permutation(COUNT)
    mirrored = []
    for of_pass in range(3):
        changed = augment(7, of_pass, places, coordinates(COUNT))
        chosen = changed[:, 0, 0, 1] == 31
        np.testing.assert_array_equal(changed[chosen], coordinates(int(chosen.sum()))[:, :, ::-1])
        np.testing.assert_array_equal(changed[~chosen], coordinates(int((~chosen).sum())))
        mirrored.append(chosen[np.argsort(places)])
    first, second, third = mirrored
    assert abs(first.mean() - 0.5) < 0.045  # four standard deviations
    np.testing.assert_array_equal(second, ~first)
    np.testing.assert_array_equal(third, first)


@pytest.mark.parametrize("name", ["crop", "flip", "erase"])
def test_the_given_images_are_not_changed(name):
    images = coordinates(50)
    assert not np.array_equal(build_augmentation((name,), 0, 50)(0, 0, np.arange(50), images), images)
    np.testing.assert_array_equal(images, coordinates(50))


def test_names_seed_and_batch_change_the_images():
    def changed(names, seed=0, batch=0):
        return build_augmentation(names, seed, 50)(batch, 0, np.arange(50), coordinates(50))

    base = changed(("crop",))
    np.testing.assert_array_equal(base, changed(("crop",)))
    for other in (changed(("crop",), seed=1), changed(("crop",), batch=1), changed(("crop", "flip"))):
        assert not np.array_equal(base, other)


def test_the_order_is_fixed_and_each_augmentation_has_its_own_random_numbers():
    def changed(*names, images):
        return build_augmentation(names, 0, 50)(3, 0, np.arange(50), images)

    images = coordinates(50)
    crop, flip, erase = (partial(changed, name) for name in ("crop", "flip", "erase"))
    np.testing.assert_array_equal(
        changed("erase", "flip", "crop", images=images), erase(images=flip(images=crop(images=images)))
    )


def test_an_unknown_name_is_an_error():
    with pytest.raises(SettingsError, match=r"`augment` takes crop, flip, erase\. Received: 'blur'"):
        build_augmentation(("flip", "blur"), 0, 50)
