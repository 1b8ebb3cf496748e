"""Measures of heatmaps that only the benchmarks use: insertion, the pointing game, similarity."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata

from lrdiag.explain.trust import ScoreFunction, deletion_curve, rank_pixels


def insertion_curve(
    score: ScoreFunction, images: np.ndarray, maps: np.ndarray, classes: np.ndarray, **options: Any
) -> np.ndarray:
    """The probability of a class while pixels are inserted, the most important first; it rises fast for a good map.

    It is the deletion of the least important pixels first, read backwards. It starts from the mean colour of the image:
    a blurred image would keep the outlines of large objects.

    Args:
        score: As in `deletion_curve`, like all other arguments.
        images: Array of shape `(n, height, width, channels)`.
        maps: Array of shape `(n, h, w)`.
        classes: Integer array of shape `(n,)`.
        **options: `steps` and `seed`.
    """
    return deletion_curve(score, images, -maps, classes, **options)[:, ::-1]


def pointing_game(maps: np.ndarray, masks: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Whether the peak of each map, enlarged bilinearly, lies inside the object.

    Of equal peaks one is drawn at random, so an empty map scores as chance does.

    Source: Zhang et al., "Top-down neural attention by excitation backprop" (2018), section 4.1, with a tolerance of 15
    pixels there and of none here.

    Example:
        >>> masks = np.zeros((1, 8, 8), bool)
        >>> masks[:, :4, :4] = True
        >>> maps = np.array([[[0.9, 0.1], [0.2, 0.3]]])
        >>> pointing_game(maps, masks).tolist(), pointing_game(-maps, masks).tolist()
        ([True], [False])

    Args:
        maps: Array of shape `(n, h, w)`.
        masks: Boolean array of shape `(n, height, width)`, true on the object.
        seed: Random seed for drawing among equal peaks.

    Returns:
        Boolean array of shape `(n,)`.
    """
    height, width = masks.shape[1:]
    peaks = rank_pixels(maps, (height, width), seed) == 0
    return np.asarray((peaks & masks).any(axis=(1, 2)))


def similarity(maps_a: np.ndarray, maps_b: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of each two maps; 0 if one of them is constant.

    A map that hardly changes when the weights are randomised explains the image, not the model.

    Source: Adebayo et al., "Sanity checks for saliency maps" (2018).

    Example:
        >>> rising = np.array([[[1.0, 2.0, 3.0]]])
        >>> similarity(rising, rising**2).tolist(), similarity(rising, -rising).tolist()
        ([1.0], [-1.0])

    Args:
        maps_a: Array of shape `(n, h, w)`.
        maps_b: Array of the same shape.

    Returns:
        `float64` array of shape `(n,)`, values from −1 to 1.
    """
    a, b = (_centred_ranks(maps) for maps in (maps_a, maps_b))
    norms = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), norms, out=np.zeros(len(a)), where=norms > 0))


def _centred_ranks(maps: np.ndarray) -> np.ndarray:
    ranks = rankdata(maps.reshape(len(maps), -1), axis=1)
    return np.asarray(ranks - ranks.mean(axis=1, keepdims=True))
