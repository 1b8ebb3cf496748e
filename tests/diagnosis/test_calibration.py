"""Expected calibration error, computed by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lrdiag.diagnosis.calibration import BINS, calibrate, error_of, errors_by_chance, temperature_of
from lrdiag.intervals import wilson
from lrdiag.record.arrays import Predictions, log_softmax
from lrdiag.record.facts import Calibration

CLASSES = 20


def calibrated(*images: tuple[float, bool]) -> Calibration:
    """The calibration of images that are predicted as class 0 with this confidence, correctly or not."""
    confidence = np.array([[each] for each, _ in images])
    rest = np.repeat((1 - confidence) / (CLASSES - 1), CLASSES - 1, axis=1)
    with np.errstate(divide="ignore"):
        logarithms = np.log(np.hstack([confidence, rest]))
    return calibrate(Predictions(logarithms, np.array([0 if right else 1 for _, right in images])))


def test_the_error_is_the_distance_of_confidence_from_accuracy() -> None:
    """Two images of 0.81, one of them right: 0.31 apart; two of 0.65, both right: 0.35 apart."""
    calibration = calibrated((0.81, True), (0.81, False), (0.65, True), (0.65, True))
    assert calibration.error == pytest.approx((2 * 0.31 + 2 * 0.35) / 4)


def test_the_error_is_weighted_by_the_images_of_each_bin() -> None:
    """Three images 0.9 apart in one bin, one image 0.3 apart in another."""
    calibration = calibrated((0.9, False), (0.9, False), (0.9, False), (0.7, True))
    assert calibration.error == pytest.approx((3 * 0.9 + 1 * 0.3) / 4)


def test_overconfidence_and_underconfidence_cancel_only_within_a_bin() -> None:
    assert calibrated((0.94, True), (0.99, True), (0.95, True)).error == pytest.approx(1 - 2.88 / 3)
    assert calibrated((0.96, True), (0.96, False), (0.04 + 0.5, True), (0.54, False)).error == pytest.approx(
        (2 * 0.46 + 2 * 0.04) / 4
    )


@pytest.mark.parametrize(("right", "error"), [(True, 0.0), (False, 1.0)])
def test_perfect_and_worst_calibration(right: bool, error: float) -> None:
    calibration = calibrated(*[(1.0, right)] * 5)
    assert calibration.error == error
    assert (calibration.bins[-1].count, calibration.bins[-1].right) == (5, 5 * right)


def test_a_single_image_has_a_calibration() -> None:
    calibration = calibrated((0.5, True))
    assert calibration.error == pytest.approx(0.5)
    (filled,) = [each for each in calibration.bins if each.count]
    assert (filled.low, filled.high, filled.count, filled.right) == (7 / 15, 8 / 15, 1, 1)
    assert filled.confidence == pytest.approx(0.5)


def test_each_bin_has_the_interval_of_its_accuracy() -> None:
    bins = calibrated((0.81, True), (0.81, False), (0.81, True)).bins
    assert (bins[12].accuracy_low, bins[12].accuracy_high) == wilson(2, 3)
    assert (bins[0].accuracy_low, bins[0].accuracy_high) == (None, None)


def test_the_bins_are_fixed_and_empty_ones_have_no_confidence() -> None:
    bins = calibrated((0.5, True)).bins
    assert [(each.low, each.high) for each in bins] == [(k / 15, (k + 1) / 15) for k in range(15)]
    assert [each.count for each in bins] == [int(k == 7) for k in range(15)]
    assert [each.confidence is None for each in bins] == [k != 7 for k in range(15)]


@pytest.mark.parametrize("place", range(BINS))
def test_a_bin_includes_its_lower_bound_and_not_its_upper_bound(place: int) -> None:
    low, high = place / BINS, (place + 1) / BINS
    inside = low, (low + high) / 2, np.nextafter(high, 0)
    predictions: Any = SimpleNamespace(
        confidence=np.array([*inside, high]), predicted=np.zeros(4, int), labels=np.zeros(4, int)
    )
    counts = [each.count for each in calibrate(predictions).bins]
    last = place == BINS - 1  # it holds its upper bound too
    assert counts[place] == 3 + last
    assert sum(counts) == 4


@pytest.mark.parametrize("unknown", [math.nan, math.inf])
def test_images_without_a_confidence_are_left_out(unknown: float) -> None:
    scores = np.log([[0.81, 0.19], [0.81, 0.19]])
    predictions = Predictions(np.vstack([scores, [[unknown, 0.0]]]), np.array([0, 1, 0]))
    calibration = calibrate(predictions)
    assert calibration.error == pytest.approx(0.31)
    assert sum(each.count for each in calibration.bins) == 2


def test_without_any_confidence_the_error_is_none() -> None:
    calibration = calibrate(Predictions(np.full((3, 2), np.nan), np.zeros(3, int)))
    assert (calibration.error, {each.count for each in calibration.bins}) == (None, {0})


def test_many_images_agree_with_the_definition() -> None:
    """Guo et al., equation 3, bin by bin."""
    rng = np.random.default_rng(0)
    predictions = Predictions.from_scores(rng.normal(scale=3, size=(500, 10)), rng.integers(0, 10, 500))
    confidence, right = predictions.confidence, predictions.predicted == predictions.labels
    expected = 0.0
    for place in range(BINS):
        inside = (confidence >= place / BINS) & (confidence < (place + 1) / BINS)
        if inside.any():
            expected += inside.sum() / 500 * abs(right[inside].mean() - confidence[inside].mean())
    assert calibrate(predictions).error == pytest.approx(expected)


def test_the_temperature_undoes_a_scale() -> None:
    generator = np.random.default_rng(0)
    logs = log_softmax(generator.normal(0, 1.5, (4000, 5)))
    labels = np.minimum((generator.random((4000, 1)) > np.exp(logs).cumsum(axis=1)).sum(axis=1), 4)
    scaled = [temperature_of(Predictions(log_softmax(logs * scale), labels)) for scale in (1.0, 3.0, 0.25)]
    values = [each.value for each in scaled if each is not None]
    assert values[0] == pytest.approx(1.0, abs=0.07)
    assert [value / values[0] for value in values[1:]] == pytest.approx([3.0, 0.25], rel=1e-4)
    for each in scaled[1:]:
        assert each is not None
        assert each.error_after < 0.04 < each.error_before


def test_there_is_no_temperature_without_a_distribution_or_with_few_images() -> None:
    assert temperature_of(Predictions(None, np.arange(400) % 2, scores=np.zeros((400, 2)))) is None
    assert temperature_of(Predictions(np.full((400, 3), np.log(0.5)), np.arange(400) % 3)) is None
    assert temperature_of(Predictions(np.full((90, 2), np.log(0.5)), np.arange(90) % 2)) is None


def test_the_error_by_chance_is_that_of_labels_drawn_from_the_confidence() -> None:
    """In one bin, it is the mean distance of a binomial share from its probability."""
    errors = errors_by_chance(np.full(400, 0.8))
    assert errors.mean() == pytest.approx(math.sqrt(2 / math.pi) * math.sqrt(0.8 * 0.2 / 400), rel=0.1)
    assert (np.diff(errors) >= 0).all()
    assert error_of(np.array([0.81, 0.81]), np.array([True, False])) == pytest.approx(0.31)
