"""Whether images have a direction, and which classes are exchanged by a turn."""

from __future__ import annotations

import numpy as np
import pytest

from lrdiag.images.turning import TURNS, exchanged, has_direction


def arrows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bars at the top, at the bottom, at both, and in the middle, each with noise: classes 0 to 3."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = generator.normal(90, 12, (count, 10, 10, 1))
    for label, rows in enumerate(([1, 2], [7, 8], [1, 8], [4, 5])):
        images[np.ix_(labels == label, rows)] += 100
    return images.clip(0, 255).astype(np.uint8), labels


IMAGES, LABELS = arrows(400)


@pytest.mark.parametrize("turn", ["flipped upside down", "turned by 180°"])
def test_top_and_bottom_are_exchanged(turn: str) -> None:
    assert exchanged(IMAGES, LABELS, TURNS[turn]) == [((0, 1), 200, 1.0)]


def test_mirrored_images_keep_their_classes() -> None:
    assert exchanged(IMAGES, LABELS, TURNS["mirrored"]) == []


def test_classes_that_do_not_look_alike_are_not_judged() -> None:
    mixed = np.random.default_rng(0).permutation(LABELS)
    assert exchanged(IMAGES, mixed, TURNS["flipped upside down"]) == []


def test_the_direction() -> None:
    darker_below = (IMAGES * np.linspace(1, 0.6, 10)[:, None, None]).astype(np.uint8)
    share, images = has_direction(darker_below, TURNS["flipped upside down"])
    assert images == 400
    assert share > 0.95
    assert has_direction(darker_below, TURNS["mirrored"])[0] == pytest.approx(0.5, abs=0.1)
