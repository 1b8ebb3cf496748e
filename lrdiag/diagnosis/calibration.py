"""Whether confidence agrees with accuracy."""

from __future__ import annotations

import numpy as np

from lrdiag.images.choosing import draws
from lrdiag.intervals import wilson
from lrdiag.record.arrays import Predictions, log_softmax
from lrdiag.record.data_facts import Temperature
from lrdiag.record.facts import Calibration, CalibrationBin

BINS = 15  # as in Guo et al.
FEWEST_FITTED = 100
"""Fewest images from which a temperature is fitted, and fewest on which it is measured."""
_MOST_FITTED = 5_000  # images
_HIGHEST = 20.0
_STEPS = 25  # of a bisection, which find the temperature to 0.001 %
_CLOSE = 1e-3  # of the sum of the probabilities of an image to 1
_SIMULATIONS = 500


def calibrate(predictions: Predictions) -> Calibration:
    """Computes the expected calibration error over fixed bins of the confidence.

    Images whose confidence is unknown are left out: their scores are not finite, or the model gives no probabilities.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3.

    Args:
        predictions: Predictions for the test set.
    """
    confidence = predictions.confidence
    known = np.isfinite(confidence)
    confidence, right = confidence[known], (predictions.predicted == predictions.labels)[known]
    place = _places(confidence)
    count = np.bincount(place, minlength=BINS)
    hits = np.bincount(place, weights=right, minlength=BINS)
    total = np.bincount(place, weights=confidence, minlength=BINS)
    bins = [_bin(number, int(count[number]), int(hits[number]), float(total[number])) for number in range(BINS)]
    return Calibration(float(np.abs(hits - total).sum() / len(confidence)) if len(confidence) else None, bins)


def error_of(confidence: np.ndarray, right: np.ndarray) -> float:
    """Returns the expected calibration error.

    Args:
        confidence: Floats of shape `(n,)`, 0–1.
        right: `bool` of shape `(n,)`: which images are classified correctly.
    """
    place = _places(confidence)
    return float(np.abs(np.bincount(place, right - confidence, minlength=BINS)).sum() / len(confidence))


def errors_by_chance(confidence: np.ndarray) -> np.ndarray:
    """Returns calibration errors of models whose confidence is right: the labels are drawn from it.

    Args:
        confidence: Floats of shape `(n,)`, 0–1.

    Returns:
        `float64` of shape `(simulations,)`, ascending. They are above 0, the more so the fewer images there are.
    """
    generator = np.random.default_rng(0)
    errors = np.zeros(_SIMULATIONS)
    place = _places(confidence)
    for number in np.unique(place):
        inside = confidence[place == number]
        levels, counts = np.unique(inside.round(3), return_counts=True)
        hits = generator.binomial(counts, levels, (_SIMULATIONS, len(levels))).sum(axis=1)
        errors += np.abs(hits - (levels * counts).sum())
    return np.asarray(np.sort(errors / len(confidence)))


def temperature_of(predictions: Predictions) -> Temperature | None:
    """Fits the temperature that confidence needs to agree with accuracy, by the likelihood of the labels.

    It is fitted on one half of the images, chosen by a hash of their places, and measured on the other.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), section 4.2.

    Args:
        predictions: Predictions for the test set.

    Returns:
        The temperature, or `None` if the model does not give each image one distribution over the classes, or if there
        are too few images.
    """
    logs = predictions.log_probabilities
    if logs is None or logs.shape[1] < 2:
        return None
    known = np.isfinite(logs).all(axis=1)
    sums = np.exp(logs[known]).sum(axis=1)
    half = draws(1, np.arange(len(logs))) < 0.5
    fitted, measured = np.flatnonzero(known & half)[:_MOST_FITTED], np.flatnonzero(known & ~half)
    if min(len(fitted), len(measured)) < FEWEST_FITTED or (np.abs(sums - 1) > _CLOSE).any():
        return None
    value = _fitted(logs[fitted], predictions.labels[fitted])
    right = (predictions.predicted == predictions.labels)[measured]
    before = np.exp(logs[measured].max(axis=1))
    after = np.exp(log_softmax(logs[measured] / value).max(axis=1))
    return Temperature(value, error_of(before, right), error_of(after, right))


def _fitted(logs: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the highest likelihood. The likelihood is concave in its inverse, so its slope decides."""
    of_label = float(logs[np.arange(len(logs)), labels].mean())
    low, high = 1 / _HIGHEST, _HIGHEST
    for _ in range(_STEPS):
        middle = float(np.sqrt(low * high))
        probabilities = np.exp(log_softmax(logs / middle))
        if (probabilities * logs).sum(axis=1).mean() > of_label:  # too confident
            low = middle
        else:
            high = middle
    return float(np.sqrt(low * high))


def _places(confidence: np.ndarray) -> np.ndarray:
    return np.asarray(np.minimum((confidence * BINS).astype(int), BINS - 1))


def _bin(number: int, count: int, right: int, total: float) -> CalibrationBin:
    low, high = number / BINS, (number + 1) / BINS
    if not count:
        return CalibrationBin(low, high, 0, 0, None)
    return CalibrationBin(low, high, count, right, total / count, *wilson(right, count))
