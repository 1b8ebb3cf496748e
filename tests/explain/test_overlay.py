"""Heatmaps over images: positions, opacity, colours, and errors."""

from __future__ import annotations

import warnings
from typing import Any

import cv2
import keras
import matplotlib
import numpy as np
import pytest

import lrdiag
from lrdiag.errors import DataError, SettingsError

SEQUENTIAL = ("turbo", "viridis", "inferno", "jet")
COLORMAPS = (*SEQUENTIAL, "difference")
BLENDS = ("heat", "constant")
BLUE, RED = [0, 80, 255], [255, 50, 0]
ONLY_COLOURS: Any = {"blend": "constant", "opacity": 1}


@pytest.fixture(scope="module")
def originals() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 32, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def maps() -> np.ndarray:
    return np.random.default_rng(1).random((6, 8, 5), dtype=np.float32)


def flat(*values: float) -> np.ndarray:
    """A map of one pixel for each value."""
    return np.array(values, np.float32).reshape(-1, 1, 1)


def grey(value: int, count: int = 1) -> np.ndarray:
    return np.full((count, 1, 1, 3), value, np.uint8)


def jet() -> np.ndarray:
    """OpenCV's 256 colours in RGB, all different."""
    colours = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_JET)
    return cv2.cvtColor(colours, cv2.COLOR_BGR2RGB).reshape(256, 3)


def steps(images: np.ndarray, maps: np.ndarray, **peak: Any) -> np.ndarray:
    """The value that each pixel is drawn with, in 255ths of the peak."""
    step_of = {tuple(colour): step for step, colour in enumerate(jet().tolist())}
    assert len(step_of) == 256
    pictures = lrdiag.overlay(images, maps, colormap="jet", blend="constant", opacity=1, **peak)
    return np.array([step_of[tuple(pixel)] for pixel in pictures.reshape(-1, 3).tolist()]).reshape(pictures.shape[:-1])


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("colormap", COLORMAPS)
def test_without_opacity_the_image_is_unchanged(
    originals: np.ndarray, maps: np.ndarray, colormap: Any, blend: Any
) -> None:
    pictures = lrdiag.overlay(originals, maps, colormap=colormap, blend=blend, opacity=0)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures, originals)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("colormap", COLORMAPS)
def test_a_map_of_zeros_leaves_its_image_unchanged(originals: np.ndarray, colormap: Any, blend: Any) -> None:
    maps = np.zeros((6, 4, 4), np.float32)
    maps[0] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures = lrdiag.overlay(originals, maps, colormap=colormap, blend=blend)
    np.testing.assert_array_equal(pictures[1:], originals[1:])
    assert (pictures[0] != originals[0]).any()


@pytest.mark.parametrize(
    ("heat", "colour", "picture"),
    [(1.0, (128, 0, 0), (45, 70, 140)), (0.5, (130, 255, 126), (46, 146, 178)), (1e-9, (0, 0, 128), (7, 70, 178))],
)
def test_the_style_of_the_article(heat: float, colour: tuple[int, ...], picture: tuple[int, ...]) -> None:
    """OpenCV's JET with opacity 0.3 over the image."""
    colours = np.full((4, 4, 3), jet()[round(255 * heat)])
    original = np.full((4, 4, 3), (10, 100, 200), np.uint8)
    expected = cv2.addWeighted(original, 0.7, colours, 0.3, 0)
    assert tuple(colours[0, 0]) == colour
    assert tuple(expected[0, 0]) == picture
    heatmap = np.full((2, 2), heat, np.float32)
    np.testing.assert_array_equal(lrdiag.overlay(original, heatmap, colormap="jet", blend="constant", peak=1), expected)


@pytest.mark.parametrize("opacity", [None, 0.3, 1])
@pytest.mark.parametrize("blend", BLENDS)
def test_colours_are_rounded_to_the_nearest_integer(blend: Any, opacity: Any) -> None:
    """`(1 - a) * image + a * colour`. `a` increases with the heat or is constant."""
    heat = np.arange(256) / 255
    images = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 256, axis=1)[None, ..., None]
    maps = np.tile(heat.astype(np.float32), (1, 256, 1))
    covered = opacity or {"heat": 0.65, "constant": 0.3}[blend]
    share = (covered * (heat**0.75 if blend == "heat" else np.ones(256)))[:, None]
    found = lrdiag.overlay(images, maps, colormap="jet", blend=blend, opacity=opacity)
    np.testing.assert_allclose(found, (1 - share) * images + share * jet(), rtol=0, atol=0.5 + 1e-4)


@pytest.mark.parametrize(("colormap", "reach"), [("turbo", 0.9), ("viridis", 1), ("inferno", 1)])
def test_the_colours_are_those_of_matplotlib_in_rgb(colormap: Any, reach: float) -> None:
    """TURBO without its dark end."""
    step = np.arange(10, 251, 10)
    maps = flat(*step / 255)
    expected = 255 * matplotlib.colormaps[colormap](np.rint(reach * step).astype(int))[:, :3]
    found = lrdiag.overlay(grey(0, len(step)), maps, colormap=colormap, blend="constant", opacity=1, peak=1)
    np.testing.assert_allclose(found[:, 0, 0], expected, rtol=0, atol=0.51)


def test_turbo_is_the_default(originals: np.ndarray, maps: np.ndarray) -> None:
    pictures = lrdiag.overlay(originals, maps)
    np.testing.assert_array_equal(pictures, lrdiag.overlay(originals, maps, colormap="turbo", blend="heat"))
    others = [lrdiag.overlay(originals, maps, colormap=name) for name in SEQUENTIAL[1:]]  # type: ignore[arg-type]
    assert all((pictures != other).any() for other in others)


def test_a_map_is_enlarged_as_keras_does(originals: np.ndarray, maps: np.ndarray) -> None:
    """Among so many pixels, some are so close to a rounding boundary that an error of 1e-5 would be visible."""
    expected = keras.ops.image.resize(maps[..., None], (320, 240), interpolation="bilinear")
    expected = keras.ops.convert_to_numpy(expected)[..., 0] / maps.max(axis=(1, 2), keepdims=True)
    found = steps(np.zeros((6, 320, 240, 1)), maps)
    np.testing.assert_allclose(found, 255 * expected, rtol=0, atol=0.5 + 255e-5)


def test_a_map_larger_than_its_image_is_reduced() -> None:
    maps = np.kron([[1, 0], [0, 0.2]], np.ones((4, 4)))[None]
    found = steps(np.zeros((1, 2, 2, 1)), maps)
    np.testing.assert_array_equal(found, [[[255, 0], [0, 51]]])


def test_the_peak_is_that_of_the_map_before_it_is_enlarged() -> None:
    """Bilinear enlargement by four, between pixels, comes to 1 - 1/8 of a single hot pixel along each side."""
    heatmap = np.zeros((8, 8), np.float32)
    heatmap[3, 4] = 7
    found = steps(np.zeros((32, 32, 1)), heatmap)
    assert found.max() == round(255 * (7 / 8) ** 2)


def test_each_map_has_its_own_peak_unless_one_is_given() -> None:
    maps = flat(1, 2, 4)

    def found(**peak: Any) -> list[int]:
        return steps(grey(0, 3), maps, **peak).ravel().tolist()

    assert found() == [255, 255, 255]
    assert found(peak=None) == [255, 255, 255]
    assert found(peak=5) == [51, 102, 204]
    assert found(peak=maps.max()) == [64, 128, 255]
    assert found(peak=[5, 10, 4]) == [51, 51, 255]
    assert found(peak=2) == [128, 255, 255]  # values above the peak are drawn like the peak


def test_the_peak_of_a_map_of_zeros_may_be_zero() -> None:
    pictures = lrdiag.overlay(grey(9, 2), flat(0, 3), peak=[0, 3])
    assert pictures[0].tolist() == [[[9, 9, 9]]]
    assert pictures[1].tolist() != [[[9, 9, 9]]]


def test_a_difference_is_blue_below_and_red_above_zero() -> None:
    maps = np.array([[[-16, 16, 1, -1, 0]]], np.float32)
    images = np.full((1, 1, 5, 3), 200, np.uint8)
    covered = lrdiag.overlay(images, maps, colormap="difference", **ONLY_COLOURS)[0, 0]
    assert covered[:2].tolist() == [BLUE, RED]
    halfway = (255 + np.array([RED, BLUE])) / 2  # to white: the fourth root of a sixteenth of the peak
    np.testing.assert_allclose(covered[2:4], halfway, atol=1.5)
    assert covered[4].tolist() == [255, 255, 255]
    assert lrdiag.overlay(images, maps, colormap="difference", opacity=1)[0, 0, [0, 1, 4]].tolist() == [
        BLUE,
        RED,
        [200, 200, 200],
    ]


def test_the_peak_of_a_difference_is_an_absolute_value() -> None:
    only_negative = lrdiag.overlay(grey(0, 3), flat(-2, -3, -9), colormap="difference", **ONLY_COLOURS)
    assert only_negative[:, 0, 0].tolist() == 3 * [BLUE]
    common = lrdiag.overlay(grey(0, 3), flat(-2, -3, 9), colormap="difference", peak=3, **ONLY_COLOURS)[:, 0, 0]
    assert common[1:].tolist() == [BLUE, RED]
    assert common[0].tolist() != BLUE


def test_a_difference_without_negative_values_stays_red() -> None:
    assert lrdiag.overlay(grey(0), flat(2), colormap="difference", opacity=1).tolist() == [[[RED]]]


def test_grey_images_are_converted_to_rgb(originals: np.ndarray, maps: np.ndarray) -> None:
    one_channel = originals[..., :1]
    expected = lrdiag.overlay(np.repeat(one_channel, 3, axis=3), maps)
    assert expected.shape == (6, 32, 24, 3)
    np.testing.assert_array_equal(lrdiag.overlay(one_channel, maps), expected)


@pytest.mark.parametrize("off", [-0.4, 0, 0.4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_between_zero_and_one_are_rounded_to_the_nearest_of_256(
    originals: np.ndarray, maps: np.ndarray, dtype: str, off: float
) -> None:
    floats = np.clip((originals + off) / 255, 0, 1).astype(dtype)
    np.testing.assert_array_equal(lrdiag.overlay(floats, maps), lrdiag.overlay(originals, maps))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_maps_may_be_any_floats(originals: np.ndarray, maps: np.ndarray, dtype: str) -> None:
    maps = maps.astype("float16")
    np.testing.assert_array_equal(
        lrdiag.overlay(originals, maps.astype(dtype)), lrdiag.overlay(originals, maps.astype("float32"))
    )


def test_a_picture_does_not_depend_on_other_images(originals: np.ndarray, maps: np.ndarray) -> None:
    """A single image gives a single picture."""
    together = lrdiag.overlay(originals, maps)
    arguments: Any = {"colormap": "jet", "blend": "constant", "opacity": 0.4, "peak": 2}
    changed = lrdiag.overlay(originals, maps, **arguments)
    for place, (original, heatmap) in enumerate(zip(originals, maps, strict=True)):
        np.testing.assert_array_equal(lrdiag.overlay(original, heatmap), together[place])
        np.testing.assert_array_equal(lrdiag.overlay(original, heatmap, **arguments), changed[place])


def test_without_images_there_are_no_pictures() -> None:
    assert lrdiag.overlay(np.empty((0, 32, 24, 3), np.uint8), np.empty((0, 8, 8), np.float32)).shape == (0, 32, 24, 3)


def test_images_and_maps_are_not_changed(originals: np.ndarray, maps: np.ndarray) -> None:
    images, heat = originals.copy(), maps.copy()
    images.flags.writeable = heat.flags.writeable = False
    pictures = lrdiag.overlay(images, heat)
    assert pictures.flags.writeable
    np.testing.assert_array_equal(images, originals)
    np.testing.assert_array_equal(heat, maps)


IMAGES, MAPS = np.zeros((2, 8, 8, 3), np.uint8), np.ones((2, 4, 4), np.float32)
HOLED = np.where(np.arange(4) == 2, np.nan, MAPS)


@pytest.mark.parametrize(
    ("images", "maps", "message"),
    [
        (IMAGES[..., 0], MAPS, r"Images must have the shape .*Received: shape=\(2, 8, 8\)"),
        (IMAGES[0], MAPS, r"Images must have the shape .*Received: shape=\(8, 8, 3\)"),
        (IMAGES[..., :2], MAPS, r"Images must have the shape .*Received: shape=\(2, 8, 8, 2\)"),
        (IMAGES.astype("int64"), MAPS, "Images must be uint8, 0–255, or floats.*Received: dtype=int64"),
        (IMAGES + np.float32(255), MAPS, r"floats must be in \[0, 1\].*Received: values from 255.0 to 255.0"),
        (IMAGES - 0.5, MAPS, r"floats must be in \[0, 1\].*Received: values from -0.5 to -0.5"),
        (IMAGES + np.nan, MAPS, r"floats must be in \[0, 1\].*Received: values from nan"),
        (IMAGES, MAPS[:1], r"one heatmap of floats for each image.*Received: shape=\(1, 4, 4\).*for 2 images"),
        (IMAGES, MAPS[0], r"one heatmap of floats for each image.*Received: shape=\(4, 4\)"),
        (IMAGES, MAPS[..., None], r"one heatmap of floats for each image.*Received: shape=\(2, 4, 4, 1\)"),
        (IMAGES, MAPS[:, :0], r"one heatmap of floats for each image.*Received: shape=\(2, 0, 4\)"),
        (IMAGES, MAPS.astype("uint8"), "one heatmap of floats for each image.*dtype=uint8"),
        (
            IMAGES,
            np.stack([MAPS[0], HOLED[0]]),
            r"must be finite.*Received: NaN or infinite values in 1, first in",
        ),
        (IMAGES, MAPS * np.inf, "Heatmaps must be finite.*Received: NaN or infinite values in 2, first in 0"),
        (IMAGES, MAPS - 1.5, "must not be negative, unless.*'difference'.*Received: values down to -0.5"),
    ],
)
def test_images_and_maps_that_do_not_fit_are_refused(images: np.ndarray, maps: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        lrdiag.overlay(images, maps)


def test_a_difference_must_be_finite_too() -> None:
    with pytest.raises(DataError, match=r"Heatmaps must be finite\. Received: NaN or infinite values in 2, first in 0"):
        lrdiag.overlay(IMAGES, HOLED, colormap="difference")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"colormap": "hot"}, "`colormap` must be one of turbo, .*difference. Received: 'hot'"),
        ({"blend": "screen"}, "`blend` must be one of heat, constant. Received: 'screen'"),
        ({"opacity": 1.1}, r"`opacity` must be in \[0, 1\]. Received: opacity=1.1"),
        ({"opacity": -0.1}, r"`opacity` must be in \[0, 1\]. Received: opacity=-0.1"),
        ({"opacity": float("nan")}, r"`opacity` must be in \[0, 1\]. Received: opacity=nan"),
        ({"peak": 0}, "`peak` must be finite and more than 0, or 0 for a heatmap of zeros. Received: peak=0"),
        ({"peak": [1, -1]}, "`peak` must be finite and more than 0.*Received: peak=-1"),
        ({"peak": np.inf}, "`peak` must be finite and more than 0.*Received: peak=inf"),
        ({"peak": [1, 2, 3]}, r"`peak` must be one number, or one for each of the 2 heatmaps. Received: shape=\(3,\)"),
    ],
)
def test_arguments_outside_their_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        lrdiag.overlay(IMAGES, MAPS, **arguments)
