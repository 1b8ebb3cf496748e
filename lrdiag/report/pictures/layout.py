"""Which pictures the page shows, laid out on sheets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lrdiag.record.arrays import Heatmaps, LabelledImages, MeanHeatmaps, Predictions
from lrdiag.record.pictures import LARGEST_SIDE, HeatmapSheets, Sheet, Sheets, shrunk
from lrdiag.report.pictures.sheets import difference_sheet, heatmap_sheet, padding_of, photograph_sheet

SAMPLES_PER_CLASS = 10
_SAMPLES = 400
"""Training images that are shown, about, where there are many classes; one of each class at least."""
_SMALL_SIDE = 62
"""Pixels that a photograph is scaled down to where there are many; with its padding, whole blocks of WebP."""
_MOST_PIXELS = 25_000_000
"""Pixels of a sheet of photographs: about seven megabytes."""
_MOST_TILES = 10_000
"""Mistakes that a browser still lays out in a few seconds."""
_OF_EACH_PAIR = 3
"""Where not every mistake can be shown, how many of a confused pair come first."""


def lay_out(
    mistakes: np.ndarray, predictions: Predictions, heatmaps: Heatmaps | None, train: LabelledImages, seed: int
) -> tuple[Sheets, dict[str, bytes]]:
    """Lays out the misclassified photographs, their maps, and a few training images of each class.

    Photographs are scaled down, the more the more there are. Of more mistakes than a page can hold it shows the highest
    losses of each confused pair and the highest of all.

    Args:
        mistakes: The misclassified images in the order of `predictions.misclassified`, a `uint8` array of shape
            `(m, height, width, channels)`, grey or RGB.
        predictions: Of the test set.
        heatmaps: Of the misclassified images, or `None`.
        train: The training images, or none.
        seed: Which training images serve as samples.

    Returns:
        Where each picture stands, and the content of each picture file by its name.
    """
    pictures: dict[str, bytes] = {}

    def keep(laid_out: tuple[Sheet, bytes]) -> Sheet:
        sheet, pictures[sheet.file] = laid_out
        return sheet

    ranked = predictions.ranked_mistakes
    photographs = maps = shown = None
    if len(ranked):
        side, most = _room(len(ranked), *mistakes.shape[1:3])
        if most < len(ranked):
            shown = most_informative(predictions.labels[ranked], predictions.predicted[ranked], most)
            ranked = ranked[shown]
        rows = np.searchsorted(predictions.misclassified, ranked)
        photographs = keep(photograph_sheet([mistakes[row] for row in rows], "misclassified.webp", side))
        if heatmaps:
            maps = _lay_out_maps(heatmaps, rows, keep)
    chosen, per_class = _choose_samples(train.labels, predictions.log_probabilities.shape[1], seed)
    samples = None
    if len(chosen):
        samples = keep(photograph_sheet([train.images[index] for index in chosen], "samples.webp", _SMALL_SIDE))
    return Sheets(photographs, maps, samples, per_class, None if shown is None else shown.tolist()), pictures


def _room(count: int, height: int, width: int) -> tuple[int, int]:
    """The side that photographs are scaled down to, and how many of them a page can hold."""
    for side in (LARGEST_SIDE, _SMALL_SIDE):
        small = shrunk(height, width, side)
        padding = 2 * padding_of(*small)
        most = min(_MOST_TILES, _MOST_PIXELS // ((small[0] + padding) * (small[1] + padding)))
        if count <= most:
            break
    return side, most


def most_informative(true: np.ndarray, predicted: np.ndarray, most: int) -> np.ndarray:
    """Which mistakes to show where not all can be.

    Half of the room is for the first mistakes of each confused pair, the largest pairs first; the rest is for the first
    of all.

    Args:
        true: Integer array of shape `(n,)`: the true classes of the mistakes, the highest loss first.
        predicted: Integer array of shape `(n,)`: the classes that were predicted.
        most: How many can be shown.

    Returns:
        Integer array of shape `(most,)`: places among the mistakes, ascending.
    """
    pair = true * (1 + predicted.max()) + predicted
    _, pairs, sizes = np.unique(pair, return_inverse=True, return_counts=True)
    by_pair = np.argsort(pairs, kind="stable")
    of_pair = np.empty(len(pairs), np.int64)  # 0 for the first mistake of its pair, 1 for the second …
    of_pair[by_pair] = np.arange(len(pairs)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    firsts = np.flatnonzero(of_pair < _OF_EACH_PAIR)
    firsts = firsts[np.argsort(-sizes[pairs[firsts]], kind="stable")][: most // 2]
    others = np.setdiff1d(np.arange(len(pairs)), firsts)
    return np.sort(np.concatenate([firsts, others[: most - len(firsts)]]))


def _lay_out_maps(heatmaps: Heatmaps, rows: np.ndarray, keep: Callable[[tuple[Sheet, bytes]], Sheet]) -> HeatmapSheets:
    predicted, true = heatmaps.predicted[rows], heatmaps.true[rows]
    peaks = np.maximum(predicted, true).max(axis=(1, 2))
    return HeatmapSheets(
        predicted=keep(heatmap_sheet(predicted, peaks, "maps-predicted.png")),
        true=keep(heatmap_sheet(true, peaks, "maps-true.png")),
        difference=keep(difference_sheet(heatmaps.difference[rows], peaks, "maps-difference.png")),
        means=keep(_mean_sheet(heatmaps.means)) if heatmaps.means else None,
    )


def _mean_sheet(means: MeanHeatmaps) -> tuple[Sheet, bytes]:
    maps = np.concatenate([means.right, means.wrong, _over_classes(means.right), _over_classes(means.wrong)])
    return heatmap_sheet(maps, np.full(len(maps), maps.max()), "maps-mean.png")


def _over_classes(maps: np.ndarray) -> np.ndarray:
    """The mean of shape `(1, h, w)` over the classes that have a map."""
    return np.asarray(maps.sum(axis=0, keepdims=True) / max(1, np.count_nonzero(maps.any(axis=(1, 2)))))


def _choose_samples(labels: np.ndarray, classes: int, seed: int) -> tuple[np.ndarray, int]:
    """As many of every class, so that their place on the sheet tells their class."""
    wanted = min(SAMPLES_PER_CLASS, max(1, _SAMPLES // classes))
    per_class = min(wanted, int(np.bincount(labels, minlength=classes).min()))
    rng = np.random.default_rng(seed)
    by_class = [np.flatnonzero(labels == label) for label in range(classes)]
    return np.concatenate([rng.choice(places, per_class, replace=False) for places in by_class]), per_class
