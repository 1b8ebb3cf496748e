"""Which pictures the page shows, laid out on sheets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lrdiag.records import Dataset, Heatmaps, HeatmapSheets, MeanHeatmaps, Predictions, Sheet, Sheets
from lrdiag.report.sheets import difference_sheet, heatmap_sheet, photograph_sheet

SAMPLES_PER_CLASS = 10


def lay_out(
    dataset: Dataset, predictions: Predictions, heatmaps: Heatmaps | None, seed: int
) -> tuple[Sheets, dict[str, bytes]]:
    """Lays out the misclassified photographs, their maps, and a few training images of each class.

    Args:
        dataset: Where the photographs are.
        predictions: Of the test set.
        heatmaps: Of the misclassified images, or `None`.
        seed: Which training images serve as samples.

    Returns:
        Where each picture stands, and the content of each picture file by its name.
    """
    pictures: dict[str, bytes] = {}

    def keep(laid_out: tuple[Sheet, bytes]) -> Sheet:
        sheet, pictures[sheet.file] = laid_out
        return sheet

    ranked = predictions.ranked_mistakes
    photographs = maps = None
    if len(ranked):
        photographs = keep(photograph_sheet(dataset.test.images[ranked], "misclassified.webp"))
        if heatmaps:
            maps = _lay_out_maps(heatmaps, np.searchsorted(heatmaps.indices, ranked), keep)
    chosen, per_class = _choose_samples(dataset, seed)
    samples = keep(photograph_sheet(dataset.train.images[chosen], "samples.webp"))
    return Sheets(photographs, maps, samples, per_class), pictures


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
    maps = np.concatenate([means.right, means.wrong])
    return heatmap_sheet(maps, np.full(len(maps), maps.max()), "maps-mean.png")


def _choose_samples(dataset: Dataset, seed: int) -> tuple[np.ndarray, int]:
    """As many of every class, so that their place on the sheet tells their class."""
    labels = dataset.train.labels
    per_class = min(SAMPLES_PER_CLASS, int(np.bincount(labels).min()))
    rng = np.random.default_rng(seed)
    by_class = [np.flatnonzero(labels == label) for label in range(len(dataset.classes))]
    return np.concatenate([rng.choice(places, per_class, replace=False) for places in by_class]), per_class
