"""Whether confidence agrees with accuracy."""

from __future__ import annotations

import numpy as np

from lrdiag.intervals import wilson
from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import Calibration, CalibrationBin

BINS = 15  # as in Guo et al.


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
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    hits = np.bincount(place, weights=right, minlength=BINS)
    total = np.bincount(place, weights=confidence, minlength=BINS)
    bins = [_bin(number, int(count[number]), int(hits[number]), float(total[number])) for number in range(BINS)]
    return Calibration(float(np.abs(hits - total).sum() / len(confidence)) if len(confidence) else None, bins)


def _bin(number: int, count: int, right: int, total: float) -> CalibrationBin:
    low, high = number / BINS, (number + 1) / BINS
    if not count:
        return CalibrationBin(low, high, 0, 0, None)
    return CalibrationBin(low, high, count, right, total / count, *wilson(right, count))
