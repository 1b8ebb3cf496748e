import keras
import numpy as np
import pytest

from lrdiag.data.augmentation import RandomCrop, RandomErasing, build_augmentation
from lrdiag.errors import SettingsError

COUNT = 2000


def coordinates(count: int, height: int = 32, width: int = 32) -> np.ndarray:
    """Images whose pixels contain their own row and column."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=-1)
    return np.broadcast_to(image, (count, height, width, 3)).astype("uint8")


def apply(layer, images) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(images, training=True))


def rectangles(masks: np.ndarray) -> np.ndarray:
    """Top, left, height and width of each mask, after a check that each is one full rectangle."""
    found = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert mask.sum() == height * width
        found.append((rows[0], columns[0], height, width))
    return np.array(found)


@pytest.fixture(scope="module")
def erased() -> np.ndarray:
    """Booleans of shape (COUNT, 32, 32): what `RandomErasing` filled. Values above 255 cannot be the fill."""
    return (apply(RandomErasing(seed=3), np.full((COUNT, 32, 32, 3), 300.0, "float32")) != 300).all(axis=-1)


def test_half_of_the_images_are_erased(erased):
    share = erased.any(axis=(1, 2)).mean()
    assert abs(share - 0.5) < 0.045  # four standard deviations


def test_erased_areas_and_aspects_span_their_ranges(erased):
    _, _, height, width = rectangles(erased[erased.any(axis=(1, 2))]).T
    area, aspect = height * width / 1024, height / width
    assert area.min() >= 0.02
    assert area.max() <= 0.40
    assert area.min() < 0.03
    assert area.max() > 0.37
    assert aspect.min() >= 0.3
    assert aspect.max() <= 3.3
    assert aspect.min() < 0.36
    assert aspect.max() > 2.8
    assert abs(np.log(aspect).mean()) < 0.09, "tall and wide rectangles are equally frequent"


def test_area_is_uniform_and_aspect_log_uniform_if_every_rectangle_fits():
    """As in the paper. Small areas fit with every aspect ratio, so no rectangle is drawn again."""
    height, width = RandomErasing(area=(0.02, 0.2)).sizes(224, 224).T.astype(float)
    for values, low, high in ((height * width / 224**2, 0.02, 0.2), (np.log(height / width), np.log(0.3), np.log(3.3))):
        counts, _ = np.histogram(values, bins=8, range=(low, high))
        assert counts.max() / counts.min() < 1.06


def test_erased_rectangles_reach_every_edge(erased):
    top, left, height, width = rectangles(erased[erased.any(axis=(1, 2))]).T
    assert (top.min(), left.min()) == (0, 0)
    assert ((top + height).max(), (left + width).max()) == (32, 32)


def test_the_fill_is_random_pixels_of_the_full_range():
    filled = apply(RandomErasing(probability=1.0, seed=0), np.full((200, 32, 32, 3), 300.0, "float32"))
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
    filled = apply(RandomErasing(seed=1, **options), np.full((600, 32, 32, 3), 300.0, "float32"))
    masks = (filled != 300).all(axis=-1)
    struck = masks.any(axis=(1, 2))
    _, _, height, width = rectangles(masks[struck]).T
    assert low <= measure(height, width, struck.mean()) <= high


def test_erasing_fits_images_that_are_not_square():
    masks = (apply(RandomErasing(1.0, seed=1), np.full((300, 16, 48, 3), 300.0, "float32")) != 300).all(axis=-1)
    _, _, height, width = rectangles(masks).T
    assert (height.max(), width.max()) <= (16, 48)
    assert (height * width).max() <= 0.4 * 16 * 48


def test_each_image_is_cropped_at_its_own_position():
    cropped = apply(RandomCrop(32, 32, padding=4, seed=0), coordinates(COUNT))
    shifts = cropped[:, 16, 16, :2].astype(int) - 16
    assert shifts.min(axis=0).tolist() == [-4, -4]
    assert shifts.max(axis=0).tolist() == [4, 4]
    counts = np.bincount((shifts[:, 0] + 4) * 9 + shifts[:, 1] + 4, minlength=81)
    assert ((counts - COUNT / 81) ** 2 / (COUNT / 81)).sum() < 140  # chi-squared of 80 degrees of freedom, p = 4e-5


def test_a_crop_equals_one_of_numpys_reflected_padding():
    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), np.uint8)
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    cropped = apply(RandomCrop(32, 32, padding=4, seed=7), images)
    places = apply(RandomCrop(32, 32, padding=4, seed=7), coordinates(50))[:, 16, 16, :2].astype(int) - 12
    for image, whole, (top, left) in zip(cropped, padded, places, strict=True):
        np.testing.assert_array_equal(image, whole[top : top + 32, left : left + 32])


@pytest.mark.parametrize(("arguments", "shape", "largest"), [((32, 32, 4), (32, 32), 4), ((32, 32, 1), (32, 32), 1),
                                                             ((24, 28, 0), (24, 28), 8)])  # fmt: skip
def test_each_argument_of_the_crop_changes_it(arguments, shape, largest):
    cropped = apply(RandomCrop(*arguments, seed=0), coordinates(300))
    assert cropped.shape == (300, *shape, 3)
    assert cropped[:, 12, 12, 0].max() - 12 == largest


def test_half_of_the_images_are_mirrored_independently():
    flipped = apply(build_augmentation(("flip",), (32, 32, 3), 0), coordinates(COUNT))
    mirrored = flipped[:, 0, 0, 1] == 31
    assert abs(mirrored.mean() - 0.5) < 0.045
    np.testing.assert_array_equal(flipped[mirrored], coordinates(int(mirrored.sum()))[:, :, ::-1])
    np.testing.assert_array_equal(flipped[~mirrored], coordinates(int((~mirrored).sum())))


@pytest.mark.parametrize("layer", [RandomCrop(32, 32, padding=4), RandomErasing()])
def test_images_are_unchanged_outside_of_training(layer):
    np.testing.assert_array_equal(layer(coordinates(5), training=False), coordinates(5))


@pytest.mark.parametrize(
    "layer",
    [
        RandomCrop(28, 30, padding=2, seed=5),
        RandomErasing(0.7, area=(0.1, 0.2), aspect=(0.5, 2.0), seed=5),
    ],
)
def test_layers_can_be_serialized(layer):
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert keras.saving.serialize_keras_object(again) == config
    np.testing.assert_array_equal(apply(again, coordinates(20)), apply(layer, coordinates(20)))


def test_layers_have_a_fixed_order_and_their_own_random_numbers():
    layers = build_augmentation(("erase", "flip", "crop"), (32, 32, 3), 0).layers
    assert [layer.name for layer in layers] == ["crop", "flip", "erase"]
    assert len({layer.seed for layer in layers}) == 3
    assert build_augmentation(("flip",), (32, 32, 3), 0).layers[0].seed == layers[1].seed


def test_names_shape_and_seed_change_the_images():
    def changed(names, seed):
        return apply(build_augmentation(names, (32, 32, 3), seed), coordinates(50))

    base = changed(("crop",), 0)
    np.testing.assert_array_equal(base, changed(("crop",), 0))
    assert not np.array_equal(base, changed(("crop",), 1))
    assert not np.array_equal(base, changed(("crop", "flip"), 0))
    assert apply(build_augmentation(("crop",), (20, 24, 3), 0), coordinates(2, 20, 24)).shape == (2, 20, 24, 3)


def test_mixed_precision_leaves_the_images_exact():
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        changed = apply(build_augmentation(("crop", "flip", "erase"), (32, 32, 3), 0), coordinates(4))
    finally:
        keras.config.set_dtype_policy(policy)
    assert changed.dtype == np.float32


def test_an_unknown_name_is_an_error():
    with pytest.raises(SettingsError, match=r"`augment` takes crop, flip, erase\. Received: 'blur'"):
        build_augmentation(("flip", "blur"), (32, 32, 3), 0)
