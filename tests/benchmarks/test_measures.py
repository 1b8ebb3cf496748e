"""The measures of the benchmarks, on cases that can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.measures import insertion_curve, pointing_game, similarity
from scipy.stats import spearmanr

from lrdiag.explain.trust import rank_pixels


def test_insertion_adds_the_most_important_pixels_first() -> None:
    """One row of four pixels with mean 0.4; the map ranks them 2, 0, 3, 1; class 0 is their weighted mean."""

    def score(images: np.ndarray) -> np.ndarray:
        first = images[:, 0, :, 0] @ [0.4, 0.3, 0.2, 0.1]
        return np.stack([first, 1 - first], axis=1)

    row, row_map = np.array([0.8, 0.0, 0.4, 0.4]).reshape(1, 1, 4, 1), np.array([[[0.3, 0.1, 0.9, 0.2]]])
    curve = insertion_curve(score, row, row_map, np.array([0]), steps=4)
    np.testing.assert_allclose(curve, [[0.4, 0.4, 0.4 + 0.16, 0.4 + 0.16, 0.44]])


def test_a_peak_outside_the_object_is_a_miss() -> None:
    maps = np.zeros((1, 8, 8))
    maps[0, 3, 5] = 1
    masks = np.zeros((4, 8, 8), bool)
    masks[0, 3, 5], masks[1, 3, 6], masks[2, 5, 3], masks[3] = True, True, True, True
    assert pointing_game(np.tile(maps, (4, 1, 1)), masks).tolist() == [True, False, False, True]


def test_equal_peaks_are_drawn_at_random() -> None:
    masks = np.zeros((2000, 8, 8), bool)
    masks[:, :4, :4] = True
    flat = np.zeros((2000, 4, 4))
    first, second = (pointing_game(flat, masks, seed=seed) for seed in (0, 1))
    assert first.mean() == pytest.approx(1 / 4, abs=0.04)
    assert (first != second).any()
    corner = flat.copy()
    corner[:, 0, 0] = 1  # enlarged, its four outermost pixels are equal; the mask holds two of them
    tall = np.zeros((2000, 16, 16), bool)
    tall[:, :2, :1] = True
    assert pointing_game(corner, tall).mean() == pytest.approx(1 / 2, abs=0.04)


def test_each_pixel_has_one_rank() -> None:
    ranks = rank_pixels(np.zeros((2, 3, 3)), (6, 5))
    assert np.sort(ranks.reshape(2, -1), axis=1).tolist() == [list(range(30))] * 2


def test_similarity_is_the_rank_correlation_of_each_pair() -> None:
    generator = np.random.default_rng(0)
    a, b = (np.maximum(generator.normal(size=(30, 4, 5)), 0) for _ in range(2))
    b[::2] += a[::2]
    expected = [spearmanr(one.ravel(), other.ravel()).statistic for one, other in zip(a, b, strict=True)]
    np.testing.assert_allclose(similarity(a, b), expected)
    assert similarity(a[:1], np.full((1, 4, 5), 0.1)).tolist() == [0]
