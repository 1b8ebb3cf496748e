"""What sets the pictures of a class apart."""

from __future__ import annotations

import numpy as np
import pytest

from lrdiag.experiments.scale import scale_of
from lrdiag.images.colours import find_colours
from lrdiag.images.marks import find_marks
from lrdiag.images.overlays import ranges, residuals

RANDOM = np.random.default_rng(0)


def noise(count: int, channels: int = 1) -> np.ndarray:
    return RANDOM.integers(0, 240, (count, 8, 8, channels)).astype(np.uint8)


def test_a_value_that_a_quarter_of_a_class_has_at_one_place() -> None:
    pictures, labels = np.zeros((80, 8, 8, 1), np.uint8), np.arange(80) % 2
    marked = np.flatnonzero(labels)[:10]
    pictures[marked, 2:4, 5] = 255
    values = next(find_marks(pictures, labels, 2))
    mark = values.mark(1, values.size(1))
    assert values.prominence[1] == 10 / 40
    assert np.argwhere(mark.mask).tolist() == [[2, 5], [3, 5]]
    assert np.flatnonzero(mark.shown).tolist() == marked.tolist()


def test_a_class_without_pictures_does_not_stand_out() -> None:
    for marks in find_marks(noise(60, 3), np.arange(60) % 2, 3):
        assert marks.prominence[2] == 0
    assert not residuals(noise(60), np.arange(60) % 2, 3)[2].any()


def test_a_mean_picture_minus_that_of_the_others() -> None:
    pictures = np.stack([np.full((2, 2, 1), value, np.uint8) for value in (10, 20, 60)])
    assert residuals(pictures, np.array([0, 1, 1]), 2)[:, 0, 0, 0].tolist() == [-30, 30]


def test_a_range_that_pictures_of_a_class_keep() -> None:
    pictures, labels = noise(100, 3), np.arange(100) % 2
    pictures[:, 0, 0], pictures[:, 0, 1] = 0, 255
    pictures[labels == 1] = pictures[labels == 1] // 2 + 50
    distance, bounds = ranges(pictures, labels, 2)
    assert distance.tolist() == [0, 1]
    assert bounds[1].tolist() == [[50] * 3, [177] * 3]


def test_a_colour_anywhere() -> None:
    pictures, labels = noise(90, 3), np.arange(90) % 3
    pictures[labels == 2, RANDOM.integers(0, 8, 30), 3] = (255, 0, 0)
    [colours] = find_colours(pictures, labels, 3, [10.0])
    assert colours.prominence.argmax() == 2
    assert colours.prominence[2] == pytest.approx(1, abs=0.01)
    assert (colours.lowest[2].tolist(), colours.highest[2].tolist()) == ([252, 0, 0], [255, 3, 3])


def test_inputs_in_another_scale_and_order_become_pictures_again() -> None:
    pictures = noise(20, 3)
    scale = scale_of(pictures, pictures[..., ::-1] / np.float32(50) - 2)
    assert scale is not None
    assert scale.channels == (2, 1, 0)
    assert scale.slope == pytest.approx([0.02] * 3)
    assert (scale.pictures(pictures[..., ::-1] / np.float32(50) - 2) == pictures).all()


def test_other_inputs_have_no_scale() -> None:
    assert scale_of(noise(20), noise(20)) is None
    assert scale_of(noise(20), np.zeros((20, 8, 8, 1))) is None
