"""How much of the images augmentation leaves."""

from __future__ import annotations

import numpy as np
import pytest

from lrdiag.images.turning import TURNS
from lrdiag.inspection.likeness import likeness, turned_shares

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


def test_the_share_of_each_turn() -> None:
    images = IMAGES.copy()
    images[:2], images[2:5] = IMAGES[:2, ::-1], np.rot90(IMAGES[2:5], 1, (1, 2))
    expected = dict.fromkeys(TURNS, 0.0) | {"flipped upside down": 2 / 8, "turned by 90°": 3 / 8}
    assert turned_shares(3 * images + 1, IMAGES) == expected


def test_noise_and_flat_inputs_are_not_turned() -> None:
    assert not any(turned_shares(RNG.normal(size=IMAGES.shape), np.ones_like(IMAGES)).values())
    assert turned_shares(np.ones((4, 10)), np.ones((4, 10))) == {}
    wide = RNG.normal(size=(4, 6, 12, 1))
    assert set(turned_shares(wide, wide)) == {"mirrored", "flipped upside down", "turned by 180°"}
