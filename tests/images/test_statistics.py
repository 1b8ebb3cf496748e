"""Statistics of pictures, compared with what their definitions give."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.pictures import photographs

from lrdiag.images.statistics import statistics_of


@pytest.mark.parametrize("shape", [(3, 7, 9, 3), (2, 8, 8, 1), (1, 1, 1, 3), (300, 5, 4, 1), (0, 8, 8, 3)])
def test_they_follow_their_definitions(shape: tuple[int, ...]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    measured = statistics_of(pictures)
    weights = [0.299, 0.587, 0.114] if shape[-1] == 3 else [1]
    levels = np.round(pictures @ weights)
    padded = np.pad(levels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    laplacian = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:] - 4 * levels
    spread = pictures.max(axis=3) - pictures.min(axis=3)
    expected = {
        "brightness": pictures.mean(axis=(1, 2, 3)),
        "contrast": levels.std(axis=(1, 2)),
        "low": pictures.min(axis=(1, 2, 3)) if len(pictures) else [],
        "high": pictures.max(axis=(1, 2, 3)) if len(pictures) else [],
        "saturation": spread.mean(axis=(1, 2)),
        "sharpness": laplacian.std(axis=(1, 2)),
        "channels": pictures.mean(axis=(1, 2)),
        "deviations": pictures.std(axis=(1, 2)),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(measured, name), values, rtol=1e-3, atol=0.3, err_msg=name)
    assert all(len(values) == len(pictures) for values in vars(measured).values())


def test_noise_is_twice_as_fine_at_full_size() -> None:
    noise = np.random.default_rng(0).normal(128, 30, (20, 64, 64, 1)).astype(np.uint8)
    assert statistics_of(noise).fineness.mean() == pytest.approx(2, rel=0.05)


def test_lines_that_are_equal_to_the_one_before_are_counted() -> None:
    picture = photographs(1, side=16)
    assert statistics_of(picture).repeats[0] == 0
    doubled = picture.repeat(2, axis=1).repeat(2, axis=2)
    assert statistics_of(doubled).repeats[0] == pytest.approx(16 / 31)
    assert statistics_of(np.zeros((1, 8, 8, 1), np.uint8)).repeats[0] == 0, "lines of one colour are not counted"


def test_margins_end_with_a_straight_edge() -> None:
    pictures = np.random.default_rng(0).integers(100, 256, (3, 20, 10, 3)).astype(np.uint8)
    pictures[0, :4], pictures[0, -2:], pictures[0, :, -1] = 5, 5, 5
    pictures[1, :5], pictures[1, 5:7, :6] = 5, 5  # the edge is not straight: most of the next lines is dark too
    margins = statistics_of(pictures).margins
    np.testing.assert_allclose(margins[0], [0.2, 0.1, 0, 0.1])
    np.testing.assert_allclose(margins[1:], 0)
    assert not statistics_of(np.full((1, 8, 8, 1), 9, np.uint8)).margins.any(), "a blank picture has no margins"
