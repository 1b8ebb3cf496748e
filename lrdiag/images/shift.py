"""What differs between the images of two sets: distributions of statistics, measured on the inputs of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt

import numpy as np

from lrdiag.images.statistics import grey
from lrdiag.record.image_table import ImageTable

DIFFERENT = 0.25
"""Distance of two distributions, 0–1, from which on sets of images look different. Random parts of a set have 0.05."""
CERTAIN = 1e-6
"""Probability of the largest distance by chance."""
_WINDOW = 64  # pixels of the middle of an image that are measured, in each direction
_VALUES = 2**20  # in the images of a set that are measured
_SMOOTH = 0.1  # share of the places of an image that are as smooth as those that show noise
_FEWEST = 30
_VISIBLE = 0.01  # standard deviations of the values, by which a statistic must differ
_RATIOS, _VISIBLE_RATIO = (
    ("sharpness", "noise", "saturation"),
    0.002,
)  # the same of statistics that are relative to the contrast


_GREY = 0.1  # saturation relative to that of training images, below which images are grey
_CONSEQUENCES = {
    "noisy": ("sharpness", "saturation", "contrast", "red minus blue", "brightness"),
    "blurred": ("noise", "contrast", "saturation", "red minus blue"),
    "grey": ("red minus blue",),
    "contrast": ("noise", "red minus blue"),
}
"""Statistics that a kind of difference changes too."""


@dataclass(frozen=True)
class Difference:
    """A statistic whose distribution differs between two sets.

    Attributes:
        name: The statistic: `"brightness"`, `"contrast"`, `"red minus blue"`, or one relative to the contrast:
            `"saturation"` (difference of the largest and the smallest channel), `"sharpness"` (standard deviation of
            the Laplacian) or `"noise"` (the response of smooth places to a noise filter).
        test: Its 5 %, 50 % and 95 % quantiles in the test images, in units of the model's inputs.
        train: The same in the training images, weighted so that each class is as frequent as in the test images.
        distance: Kolmogorov and Smirnov's distance of the two distributions, 0–1.
        is_higher: Whether test images have the higher values.
    """

    name: str
    test: tuple[float, float, float]
    train: tuple[float, float, float]
    distance: float
    is_higher: bool


def differences(test: ImageTable, training: ImageTable) -> list[Difference] | None:
    """Returns the statistics that differ beyond chance, the largest distance first.

    Training images are weighted so that both sets have the same frequencies of classes, and classes that occur in one
    set only are left out.

    Returns:
        The differences that are certain, however small; `None` if the sets are too small, or if the inputs of the model
        aren't images of the same shape.
    """
    inputs = [each.inputs for each in (test, training) if each.inputs is not None and _are_images(each.inputs)]
    if len(inputs) < 2:
        return None
    places = [measured_places(each) for each in inputs]
    ours, theirs = (_statistics(each[chosen]) for each, chosen in zip(inputs, places, strict=True))
    labels = [table.labels[table.input_rows[chosen]] for table, chosen in zip((test, training), places, strict=True)]
    shared = np.intersect1d(*labels)
    kept, kept_training = (np.isin(each, shared) for each in labels)
    if min(kept.sum(), kept_training.sum()) < _FEWEST or ours.keys() != theirs.keys():
        return None
    weights = _weights(labels[0][kept], labels[1][kept_training])
    step = _VISIBLE * float(inputs[1][places[1]].std())
    found = []
    for name, values in ours.items():
        here, there = values[kept], theirs[name][kept_training]
        lower, higher = _distances(here, there, weights, _VISIBLE_RATIO if name in _RATIOS else step)
        if _probability(max(lower, higher), len(here), weights) * 2 * len(ours) < CERTAIN:
            quantiles = _quantiles(here, np.ones(len(here))), _quantiles(there, weights)
            found.append(Difference(name, *quantiles, max(lower, higher), higher > lower))
    return sorted(found, key=lambda each: -each.distance)


def kind(difference: Difference) -> str:
    """What images are that differ so: `"noisy"`, `"blurred"` or `"grey"`; the name of the statistic otherwise."""
    if difference.name == "noise" and difference.is_higher:
        return "noisy"
    if difference.name == "sharpness" and not difference.is_higher:
        return "blurred"
    if difference.name == "saturation" and difference.test[1] <= _GREY * difference.train[1]:
        return "grey"
    return difference.name


def main_differences(found: Sequence[Difference], threshold: float = DIFFERENT) -> list[Difference]:
    """Returns the differences beyond a threshold, without those that others bring about. Kinds of images come first."""
    large = [each for each in found if each.distance > threshold]
    implied = {name for each in large for name in _CONSEQUENCES.get(kind(each), ())}
    main = [each for each in large if kind(each) in ("noisy", "blurred", "grey") or each.name not in implied]
    return sorted(main, key=lambda each: kind(each) not in ("noisy", "blurred", "grey"))


def _are_images(inputs: np.ndarray) -> bool:
    return inputs.ndim == 4 and inputs.shape[-1] in (1, 3) and min(inputs.shape[1:3]) > 2


def _statistics(inputs: np.ndarray) -> dict[str, np.ndarray]:
    height, width, channels = inputs.shape[1:]
    top, left = max(0, (height - _WINDOW) // 2), max(0, (width - _WINDOW) // 2)
    images = inputs[:, top : top + _WINDOW, left : left + _WINDOW].astype(np.float32)
    values = grey(images)
    contrast = values.std(axis=(1, 2))
    scale = np.maximum(contrast, 1e-3 * max(float(values.std()), 1e-12))
    measured = {
        "brightness": images.mean(axis=(1, 2, 3)),
        "contrast": contrast,
        "sharpness": _laplacian(values).std(axis=(1, 2)) / scale,
        "noise": _low(np.abs(_noise(values))) / scale,
    }
    if channels == 3:
        measured["saturation"] = (images.max(axis=3) - images.min(axis=3)).mean(axis=(1, 2)) / scale
        measured["red minus blue"] = (images[..., 0] - images[..., 2]).mean(axis=(1, 2))
    return measured


def measured_places(inputs: np.ndarray) -> np.ndarray:
    """The places in `ImageTable.inputs` of the images that are measured, evenly spaced."""
    values = min(inputs.shape[1], _WINDOW) * min(inputs.shape[2], _WINDOW) * inputs.shape[3]
    most = min(len(inputs), max(_FEWEST, _VALUES // values))
    return np.unique(np.linspace(0, len(inputs) - 1, most).round().astype(np.int64))


def _laplacian(values: np.ndarray) -> np.ndarray:
    inner = values[:, 1:-1, 1:-1]
    return np.asarray(
        values[:, :-2, 1:-1] + values[:, 2:, 1:-1] + values[:, 1:-1, :-2] + values[:, 1:-1, 2:] - 4 * inner
    )


def _noise(values: np.ndarray) -> np.ndarray:
    """Responds to noise and neither to edges nor to slopes.

    Source: Immerkær, "Fast noise variance estimation" (1996).
    """
    rows = values[:, :-2] - 2 * values[:, 1:-1] + values[:, 2:]
    return np.asarray(rows[:, :, :-2] - 2 * rows[:, :, 1:-1] + rows[:, :, 2:])


def _low(responses: np.ndarray) -> np.ndarray:
    """The quantile of smooth places in each image."""
    flat = responses.reshape(len(responses), -1)
    place = int(_SMOOTH * (flat.shape[1] - 1))
    return np.asarray(np.partition(flat, place, axis=1)[:, place])


def _weights(labels: np.ndarray, training_labels: np.ndarray) -> np.ndarray:
    """The weight of each training image that gives each class the frequency that it has in the test images."""
    size = int(max(labels.max(), training_labels.max())) + 1
    wanted, given = (np.bincount(each, minlength=size) / len(each) for each in (labels, training_labels))
    return np.asarray((wanted / np.maximum(given, 1e-12))[training_labels])


def _distances(here: np.ndarray, there: np.ndarray, weights: np.ndarray, step: float) -> tuple[float, float]:
    """By how much values are lower and higher than weighted ones: the largest distances of distribution functions.

    The share of the values below a place is compared with the share of the others below a place that is `step` away, so
    that differences of less than `step` don't count.
    """
    order, here = np.argsort(there, kind="stable"), np.sort(here)
    there = there[order]
    cumulated = np.concatenate([[0.0], np.cumsum(weights[order])]) / weights.sum()

    def below(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ours = np.searchsorted(here, place, side="right") / len(here)
        return ours, cumulated[np.searchsorted(there, place, side="right")]

    lower = below(here)[0] - below(here + step)[1]
    higher = below(there)[1] - below(there + step)[0]
    return float(lower.max()), float(higher.max())


def _probability(distance: float, size: int, weights: np.ndarray) -> float:
    """A bound of the probability of a distance by chance: the first term of Kolmogorov's series."""
    effective = weights.sum() ** 2 / np.square(weights).sum()
    return min(1.0, 2 * exp(-2 * distance**2 / (1 / size + 1 / effective)))


def _quantiles(values: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(weights[order]) / weights.sum()
    low, middle, high = values[order][np.minimum(np.searchsorted(cumulated, (0.05, 0.5, 0.95)), len(values) - 1)]
    return float(low), float(middle), float(high)


def noise_level(test: np.ndarray, training: np.ndarray) -> float:
    """The standard deviation of the noise that test images have more than training images, from their Laplacians.

    White noise with a standard deviation of 1 has a Laplacian with a variance of 20.
    """
    ours, theirs = (float(np.square(_laplacian(grey(each.astype(np.float32)))).mean()) for each in (test, training))
    return sqrt(max(0.0, ours - theirs) / 20)


def relative_sharpness(inputs: np.ndarray) -> float:
    """The median of the statistic `"sharpness"` over images of shape `(n, height, width, channels)`."""
    return float(np.median(_statistics(inputs)["sharpness"]))


def typical(table: ImageTable, name: str, value: float, most: int) -> np.ndarray:
    """Returns the rows of the images whose statistic is nearest to a value: `int64` of shape `(k,)`."""
    if table.inputs is None:
        return np.arange(0)
    places = measured_places(table.inputs)
    statistic = _statistics(table.inputs[places])[name]
    return np.asarray(table.input_rows[places[np.argsort(np.abs(statistic - value), kind="stable")[:most]]])
