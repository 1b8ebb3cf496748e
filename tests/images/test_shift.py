"""Differences between the images of two sets."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.inputs import coloured, received
from scipy.ndimage import gaussian_filter

from lrdiag.images.shift import differences, kind, main_differences, noise_level

IMAGES, LABELS = coloured(500)
TRAINING = received(*coloured(700, seed=1), part="train")


def differing(inputs: np.ndarray, labels: np.ndarray = LABELS) -> list[tuple[str, bool]]:
    found = differences(received(inputs.astype(np.float32), labels), TRAINING)
    assert found is not None
    return [(kind(each), each.is_higher) for each in main_differences(found)]


def test_parts_of_one_set_do_not_differ() -> None:
    assert differences(received(IMAGES, LABELS), TRAINING) == []


def test_other_frequencies_of_classes_do_not_count() -> None:
    """Without the correction, the difference of red and blue would be distributed otherwise."""
    assert differences(received(*coloured(500, seed=2, red_share=0.1)), TRAINING) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (IMAGES + 0.1, ("brightness", True)),
        (0.5 + 0.4 * (IMAGES - 0.5), ("contrast", False)),
        (IMAGES + np.random.default_rng(0).normal(0, 0.1, IMAGES.shape), ("noisy", True)),
        (gaussian_filter(IMAGES, (0, 1, 1, 0)), ("blurred", False)),
        (np.repeat(IMAGES.mean(axis=3, keepdims=True), 3, axis=3), ("grey", False)),
    ],
)
def test_what_differs_is_named(changed: np.ndarray, expected: tuple[str, bool]) -> None:
    assert differing(changed)[0] == expected


def test_channels_reversed() -> None:
    redder = received(IMAGES + np.float32([0.2, 0, -0.2]), LABELS)
    reference = received(TRAINING.inputs + np.float32([-0.2, 0, 0.2]), TRAINING.labels, "train")  # type: ignore[operator]
    found = differences(redder, reference)
    assert found is not None
    assert ("red minus blue", True) in [(each.name, each.is_higher) for each in found]


def test_the_distance_is_that_of_the_distributions() -> None:
    """All images are brighter than all others: the distance is 1, and the quantiles are those of the values."""
    found = differences(received(IMAGES + 10, LABELS), TRAINING)
    assert found is not None
    assert found[0].name == "brightness"
    assert found[0].distance == pytest.approx(1.0)
    assert found[0].test[1] - found[0].train[1] == pytest.approx(10, abs=0.02)


def test_rounding_errors_are_no_difference() -> None:
    """Each image is scaled to a mean of 0 and a deviation of 1, in two ways."""
    exact = (IMAGES - IMAGES.mean(axis=(1, 2, 3), keepdims=True)) / IMAGES.std(axis=(1, 2, 3), keepdims=True)
    assert TRAINING.inputs is not None
    other = TRAINING.inputs.astype(np.float64)
    other = (other - other.mean(axis=(1, 2, 3), keepdims=True)) / (other.std(axis=(1, 2, 3), keepdims=True) + 1e-5)
    assert differences(received(exact, LABELS), received(other.astype(np.float32), TRAINING.labels, "train")) == []


def test_the_level_of_the_noise() -> None:
    noisy = IMAGES + np.random.default_rng(0).normal(0, 0.08, IMAGES.shape).astype(np.float32)
    grey_level = 0.08 * np.sqrt(0.299**2 + 0.587**2 + 0.114**2)
    assert noise_level(noisy, IMAGES) == pytest.approx(grey_level, rel=0.05)
