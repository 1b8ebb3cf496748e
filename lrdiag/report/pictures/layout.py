"""Which pictures the page shows, laid out on sheets."""

from __future__ import annotations

import dataclasses

import numpy as np

from lrdiag.limits import MOST_MISTAKES
from lrdiag.record.arrays import Heatmaps, LabelledImages, MeanHeatmaps, Predictions
from lrdiag.record.picture_files import MOST_PIXELS
from lrdiag.record.pictures import FILES, Pictures, Sheet, SheetName
from lrdiag.report.pictures.sheets import SMALL_SIDE, best_sheet, difference_sheet, heatmap_sheet, image_sheet

SAMPLES_PER_CLASS = 10
_SAMPLES = 400
"""Approximate number of training images that are shown if there are many classes. At least one of each class."""
_MOST_BYTES = 720 * 1024
"""Maximum size of the file of the misclassified images. The page holds it in base64, which takes a third more."""
_MOST_PIXELS_OF_MAPS = MOST_PIXELS * 9 // 10
"""Maximum number of pixels of the heatmaps on a sheet, without the empty cells of its last row."""
_OF_EACH_PAIR = 3
"""Number of mistakes of each confused pair that are shown first if there is no room for all mistakes."""


def lay_out(
    mistakes: np.ndarray,
    mistake_indices: np.ndarray,
    predictions: Predictions,
    heatmaps: Heatmaps | None,
    train: LabelledImages,
    seed: int,
) -> Pictures:
    """Lays out the misclassified images, their heatmaps, and a few training images of each class.

    The page shows the mistakes that report.json describes. Images are compressed more and scaled down further if their
    file would be large. If the heatmaps of so many do not fit, it shows the highest losses of each confused pair and
    the highest losses of all.

    Args:
        mistakes: The misclassified images that were kept, a `uint8` array of shape `(m, height, width, channels)`, grey
            or RGB.
        mistake_indices: `int64` of shape `(m,)`, ascending: their places in the test set.
        predictions: Predictions for the test set.
        heatmaps: Heatmaps of misclassified images, or `None`.
        train: The training images, or none.
        seed: Random seed of the choice of training images.
    """
    pictures = Pictures()
    _lay_out_mistakes(pictures, mistakes, mistake_indices, predictions, heatmaps)
    if heatmaps and heatmaps.means and len(predictions.misclassified):
        pictures.add("class-means", _mean_sheet(heatmaps.means))
    chosen = _choose_samples(train.labels, predictions.classes, seed)
    if len(chosen):
        images = [train.images[index] for index in chosen]
        pictures.add("samples", image_sheet(images, FILES["samples"], SMALL_SIDE))
    return pictures


def lay_out_watched(images: np.ndarray, maps: np.ndarray | None) -> Pictures:
    """Lays out the images that were watched during training, and their heatmaps, each scaled to its own peak.

    Args:
        images: The images, a `uint8` array of shape `(n, height, width, channels)`, grey or RGB.
        maps: The heatmap of each image after each epoch, `float32` of shape `(n * epochs, h, w)`, or `None`.
    """
    pictures = Pictures()
    pictures.add("evolution", image_sheet(images, FILES["evolution"]))
    if maps is not None:
        pictures.add("evolution-maps", heatmap_sheet(maps, maps.max(axis=(1, 2)), FILES["evolution-maps"]))
    return pictures


def _lay_out_mistakes(
    pictures: Pictures,
    mistakes: np.ndarray,
    mistake_indices: np.ndarray,
    predictions: Predictions,
    heatmaps: Heatmaps | None,
) -> None:
    listed = predictions.ranked_mistakes[:MOST_MISTAKES]
    has_picture = np.isin(listed, mistake_indices)
    if heatmaps:
        has_picture &= np.isin(listed, heatmaps.indices)
    places = np.flatnonzero(has_picture)
    if not len(places):
        return
    most = _most_maps(*heatmaps.predicted.shape[1:]) if heatmaps else len(places)
    if most < len(places):
        true, predicted = predictions.labels[listed[places]], predictions.predicted[listed[places]]
        places = places[most_informative(true, predicted, most)]
    items = None if len(places) == len(listed) else places.tolist()
    ranked = listed[places]

    def add(name: SheetName, laid_out: tuple[Sheet, bytes]) -> None:
        sheet, content = laid_out
        pictures.add(name, (dataclasses.replace(sheet, items=items), content))

    add("mistakes", best_sheet(mistakes[np.searchsorted(mistake_indices, ranked)], FILES["mistakes"], _MOST_BYTES))
    if heatmaps:
        rows = np.searchsorted(heatmaps.indices, ranked)
        predicted, true = heatmaps.predicted[rows], heatmaps.true[rows]
        peaks = np.maximum(predicted, true).max(axis=(1, 2))
        add("mistakes-predicted", heatmap_sheet(predicted, peaks, FILES["mistakes-predicted"]))
        add("mistakes-true", heatmap_sheet(true, peaks, FILES["mistakes-true"]))
        add("mistakes-difference", difference_sheet(heatmaps.difference[rows], peaks, FILES["mistakes-difference"]))


def _most_maps(height: int, width: int) -> int:
    return max(1, _MOST_PIXELS_OF_MAPS // ((height + 2) * (width + 2)))


def most_informative(true: np.ndarray, predicted: np.ndarray, most: int) -> np.ndarray:
    """Chooses the mistakes to show if not all can be shown.

    Half of them are the first mistakes of each confused pair, largest pairs first. The others are the first overall.

    Args:
        true: Integer array of shape `(n,)`: the true classes of the mistakes, highest loss first.
        predicted: Integer array of shape `(n,)`: the predicted classes.
        most: Number of mistakes that can be shown.

    Returns:
        Integer array of shape `(most,)`: indices of mistakes, ascending.
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


def _mean_sheet(means: MeanHeatmaps) -> tuple[Sheet, bytes]:
    maps = np.concatenate([means.right, means.wrong, _over_classes(means.right), _over_classes(means.wrong)])
    return heatmap_sheet(maps, np.full(len(maps), maps.max()), FILES["class-means"])


def _over_classes(maps: np.ndarray) -> np.ndarray:
    """The mean of shape `(1, h, w)` over the classes that have a heatmap."""
    return np.asarray(maps.sum(axis=0, keepdims=True) / max(1, np.count_nonzero(maps.any(axis=(1, 2)))))


def _choose_samples(labels: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Returns indices of training images, the same number of each class, so that the position gives the class."""
    wanted = min(SAMPLES_PER_CLASS, max(1, _SAMPLES // classes))
    per_class = min(wanted, int(np.bincount(labels, minlength=classes).min()))
    rng = np.random.default_rng(seed)
    by_class = [np.flatnonzero(labels == label) for label in range(classes)]
    return np.concatenate([rng.choice(places, per_class, replace=False) for places in by_class])
