"""Scaling of pixels as in `keras.applications`, and its inverse."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from keras.applications import imagenet_utils

from lrdiag.data.preprocessing import inferred, preprocess, stretched, undo
from lrdiag.errors import SettingsError
from lrdiag.vocabulary import PREPROCESSINGS, Preprocessing

EVERY_VALUE = np.stack([np.roll(np.arange(256, dtype="uint8"), shift) for shift in (0, 5, 90)], axis=-1)[None, None]
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype="uint8")


@pytest.mark.parametrize("mode", ["torch", "caffe", "tf"])
def test_pixels_are_scaled_as_keras_applications_does(mode: str) -> None:
    expected = imagenet_utils.preprocess_input(EVERY_VALUE.astype("float32"), data_format="channels_last", mode=mode)
    how: Preprocessing = "-1..1" if mode == "tf" else mode  # type: ignore[assignment]
    scaled = preprocess(EVERY_VALUE, how)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)


def test_standardized_images_have_mean_zero_and_deviation_one_each() -> None:
    scaled = preprocess(IMAGES, "standardized")
    np.testing.assert_allclose(scaled.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=(1, 2, 3)), 1, rtol=1e-5)
    even = preprocess(np.full((1, 2, 2, 3), 7, np.uint8), "standardized")
    np.testing.assert_array_equal(even, 0)


@pytest.mark.parametrize("how", [each for each in PREPROCESSINGS if each != "standardized"])
def test_undo_restores_every_value(how: Preprocessing) -> None:
    back = undo(preprocess(EVERY_VALUE, how), how)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, EVERY_VALUE)


def test_the_modes_differ() -> None:
    results = [preprocess(IMAGES, how).astype(float) for how in get_args(Preprocessing)]
    assert all(not np.allclose(mine, theirs) for place, mine in enumerate(results) for theirs in results[:place])


def test_raw_pixels_stay_the_same_array() -> None:
    assert preprocess(IMAGES, "raw") is IMAGES
    assert undo(IMAGES, "raw") is IMAGES


def test_raw_floats_are_rounded_and_clipped() -> None:
    floats = np.array([-3.0, 0.4, 0.6, 254.6, 300.0]).reshape(1, 1, 5, 1)
    assert undo(floats, "raw").ravel().tolist() == [0, 0, 1, 255, 255]


def test_standardized_images_are_stretched_between_their_extremes() -> None:
    pictures = np.stack([np.array([[1.0, 2.0, 3.0]]), np.array([[-5.0, -5.0, 5.0]])])[..., None]
    assert undo(pictures, "standardized")[..., 0].tolist() == [[[0, 128, 255]], [[0, 0, 255]]]
    assert undo(np.full((1, 2, 2, 1), 4.0), "standardized").max() == 0


@pytest.mark.parametrize(
    ("images", "how"),
    [
        (np.array([0, 2], np.uint8), "raw"),
        (np.array([0, 0], np.uint8), "raw"),
        (np.array([0, 1], np.uint8), None),
        (np.array([0, 255], np.int64), "raw"),
        (np.array([0, 4000], np.uint16), None),
        (np.array([0.0, 1.0]), "0..1"),
        (np.array([0.0, 1.0], np.float16), "0..1"),
        (np.array([-0.02, 1.03]), "0..1"),
        (np.array([-0.001, 0.5]), "0..1"),
        (np.array([0.0, 0.0]), "0..1"),
        (np.array([-1.0, 1.0]), "-1..1"),
        (np.array([-1.05, 1.1]), "-1..1"),
        (np.array([-0.3, 0.7]), "-1..1"),
        (np.array([-0.5, 0.5]), None),
        (np.array([0.0, 255.0]), "raw"),
        (np.array([-12.0, 270.0]), "raw"),
        (np.array([0.0, 20.0]), None),
        (np.array([-2.1, 2.6]), None),
        (np.array([-1.0, 1.5]), None),
        (np.array([-123.7, 151.0]), None),
    ],
)
def test_the_scaling_is_inferred_from_the_values(images: np.ndarray, how: str | None) -> None:
    assert inferred(images) == how


def test_values_are_stretched_between_two_bounds_and_clipped() -> None:
    assert stretched(np.array([-3.0, -2.0, 0.0, 2.0, 9.0]), -2, 2).tolist() == [0, 0, 128, 255, 255]
    assert stretched(np.array([4.0, 4.0]), 4, 4).tolist() == [0, 0]


@pytest.mark.parametrize("function", [preprocess, undo])
def test_other_modes_are_refused(function: object) -> None:
    with pytest.raises(SettingsError, match=r"`preprocess` must be one of raw.*Received: 'imagenet'"):
        function(IMAGES, "imagenet")  # type: ignore[operator]
