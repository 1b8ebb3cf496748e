"""How much of the images augmentation leaves."""

from __future__ import annotations

import numpy as np
import pytest

from lrdiag.inspection.likeness import likeness

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(8, 6, 6, 3))


@pytest.mark.parametrize("turns", range(4))
def test_flips_and_turns_by_right_angles_keep_the_image(turns: int) -> None:
    turned = np.rot90(IMAGES, turns, (1, 2))
    assert likeness(turned, IMAGES) == pytest.approx(1)
    assert likeness(2 * np.flip(turned, 2) + 5, IMAGES) == pytest.approx(1)


def test_noise_leaves_its_share() -> None:
    noise = RNG.normal(size=(8, 60, 40, 3))
    images = RNG.normal(size=(8, 60, 40, 3))
    assert likeness(images + noise, images) == pytest.approx(0.5**0.5, abs=0.02)
    assert likeness(noise, images) < 0.1


def test_an_image_of_one_colour_has_no_correlation() -> None:
    assert likeness(np.ones((2, 4, 4, 1)), np.ones((2, 4, 4, 1))) == 0
