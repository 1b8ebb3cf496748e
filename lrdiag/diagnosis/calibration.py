"""Whether the network is as sure as it is right."""

from __future__ import annotations

import numpy as np

from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import Calibration, CalibrationBin

BINS = 15  # as Guo et al. and most after them


def calibrate(predictions: Predictions) -> Calibration:
    """Expected calibration error over fixed bins of the confidence.

    Images whose scores are not numbers have no confidence and are left out.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3.

    Args:
        predictions: Of the test set.
    """
    confidence = predictions.confidence
    known = np.isfinite(confidence)
    confidence, right = confidence[known], (predictions.predicted == predictions.labels)[known]
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    hits = np.bincount(place, weights=right, minlength=BINS)
    total = np.bincount(place, weights=confidence, minlength=BINS)
    bins = [
        CalibrationBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            count=int(count[number]),
            right=int(hits[number]),
            confidence=float(total[number] / count[number]) if count[number] else None,
        )
        for number in range(BINS)
    ]
    return Calibration(float(np.abs(hits - total).sum() / len(confidence)) if len(confidence) else None, bins)
