"""Whether the network is as sure as it is right."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from lrdiag import formats
from lrdiag.intervals import wilson
from lrdiag.record import folder as run_folder
from lrdiag.record.facts import Calibration, CalibrationBin, Run
from lrdiag.report.charts import confidence as confidence_charts
from lrdiag.report.charts.cache import drawn_once


@dataclass(frozen=True)
class Group:
    """The images of one bin; accuracy, mean confidence and their difference are `None` where there is no image."""

    low: float
    high: float
    right: int
    wrong: int
    accuracy: float | None = None
    confidence: float | None = None
    gap: float | None = None


@dataclass(frozen=True)
class Confidence:
    """Calibration in words, as charts and as a table.

    Attributes:
        sentence: Whether the network is too sure, and by how much.
        left_out: How many test images have no confidence, because their scores are not numbers.
        groups: The numbers of both charts.
        reliability: Accuracy over confidence; `None` where no image has a confidence.
        histogram: The confidence of right and of wrong answers; `None` likewise.
    """

    sentence: str
    left_out: int
    groups: list[Group]
    reliability: Markup | None = None
    histogram: Markup | None = None


def build(run: Run) -> Confidence:
    """Draws the calibration."""
    calibration = run.diagnosis.calibration
    known = sum(each.count for each in calibration.bins)
    left_out = run.diagnosis.test.size - known
    if not known:
        return Confidence("No image has a confidence: the scores of the network are not numbers.", left_out, [])
    return Confidence(
        _sentence(calibration),
        left_out,
        [_group(each) for each in calibration.bins],
        drawn_once(
            run,
            run_folder.RELIABILITY_CHART,
            calibration,
            lambda: confidence_charts.reliability_chart(calibration),
        ),
        drawn_once(
            run,
            run_folder.CONFIDENCE_CHART,
            calibration.bins,
            lambda: confidence_charts.confidence_chart(calibration),
        ),
    )


def _group(facts: CalibrationBin) -> Group:
    wrong = facts.count - facts.right
    if facts.confidence is None:
        return Group(facts.low, facts.high, facts.right, wrong)
    accuracy = facts.right / facts.count
    return Group(facts.low, facts.high, facts.right, wrong, accuracy, facts.confidence, facts.confidence - accuracy)


def _sentence(calibration: Calibration) -> str:
    """Too sure is what lies beyond the interval of the accuracy: anything less may be chance."""
    bins = [each for each in calibration.bins if each.confidence is not None]
    known, right = sum(each.count for each in bins), sum(each.right for each in bins)
    confidence = sum((each.confidence or 0.0) * each.count for each in bins) / known
    low, high = wilson(right, known)
    if confidence > high:
        verdict = "The network is surer than it is right"
    elif confidence < low:
        verdict = "The network is more often right than it is sure"
    else:
        verdict = "On the whole the network is as sure as it is right"
    return (
        f"{verdict}: its mean confidence is {formats.percent(confidence)}, its accuracy "
        f"{formats.percent(right / known)}; the expected calibration error is {formats.percent(calibration.error)}."
    )
