"""Which pictures the page shows, laid out on sheets."""

from __future__ import annotations

import numpy as np

from lrdiag.records import Dataset, Heatmaps, Predictions, Sheets
from lrdiag.report.sheets import heatmap_sheet, photograph_sheet

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
    ranked = predictions.ranked_mistakes
    photographs = maps = None
    if len(ranked):
        photographs, pictures["misclassified.webp"] = photograph_sheet(
            dataset.test.images[ranked], "misclassified.webp"
        )
        if heatmaps:
            rows = np.searchsorted(heatmaps.indices, ranked)
            maps, pictures["heatmaps.png"] = heatmap_sheet(heatmaps.predicted[rows], "heatmaps.png")
    chosen, per_class = _choose_samples(dataset, seed)
    samples, pictures["samples.webp"] = photograph_sheet(dataset.train.images[chosen], "samples.webp")
    return Sheets(photographs, maps, samples, per_class), pictures


def _choose_samples(dataset: Dataset, seed: int) -> tuple[np.ndarray, int]:
    """As many of every class, so that their place on the sheet tells their class."""
    labels = dataset.train.labels
    per_class = min(SAMPLES_PER_CLASS, int(np.bincount(labels).min()))
    rng = np.random.default_rng(seed)
    by_class = [np.flatnonzero(labels == label) for label in range(len(dataset.classes))]
    return np.concatenate([rng.choice(places, per_class, replace=False) for places in by_class]), per_class
