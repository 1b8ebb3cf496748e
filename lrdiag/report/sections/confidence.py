"""Whether confidence agrees with accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from lrdiag import formats
from lrdiag.intervals import wilson
from lrdiag.record.facts import Calibration, CalibrationBin, Run
from lrdiag.report.charts.cache import drawn
from lrdiag.report.charts.confidence import FEWEST, confidence_chart, reliability_chart


@dataclass(frozen=True)
class Group:
    """The images of one bin. Accuracy, mean confidence and their difference are `None` if it is empty."""

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
        sentence: Whether the model is overconfident, and by how much.
        left_out: Number of test images without a confidence.
        groups: The numbers of both charts.
        reliability: Accuracy over confidence; `None` if no image has a confidence.
        histogram: The confidence of correct and of wrong predictions; `None` likewise.
        fewest: Number of images from which a group has a bar.
    """

    sentence: str
    left_out: int
    groups: list[Group]
    reliability: Markup | None = None
    histogram: Markup | None = None
    fewest: int = FEWEST


def build(run: Run) -> Confidence:
    """Computes the content of the section."""
    calibration = run.diagnosis.calibration
    known = sum(each.count for each in calibration.bins)
    left_out = run.diagnosis.test.size - known
    if not known:
        reason = "the scores of the model are not finite"
        if not run.diagnosis.test.has_confidence:
            reason = "the model returns scores, not probabilities"
        return Confidence(f"No image has a confidence: {reason}.", left_out, [])
    return Confidence(
        _sentence(calibration),
        left_out,
        [_group(each) for each in calibration.bins],
        drawn("reliability", calibration, lambda: reliability_chart(calibration)),
        drawn("confidence", calibration.bins, lambda: confidence_chart(calibration)),
    )


def _group(facts: CalibrationBin) -> Group:
    wrong = facts.count - facts.right
    if facts.confidence is None:
        return Group(facts.low, facts.high, facts.right, wrong)
    accuracy = facts.right / facts.count
    return Group(facts.low, facts.high, facts.right, wrong, accuracy, facts.confidence, facts.confidence - accuracy)


def _sentence(calibration: Calibration) -> str:
    """Compares the mean confidence with the 95 % interval of the accuracy: a smaller difference may be chance."""
    bins = [each for each in calibration.bins if each.confidence is not None]
    known, right = sum(each.count for each in bins), sum(each.right for each in bins)
    confidence = sum((each.confidence or 0.0) * each.count for each in bins) / known
    low, high = wilson(right, known)
    if confidence > high:
        verdict = "The model is overconfident"
    elif confidence < low:
        verdict = "The model is underconfident"
    else:
        verdict = "Overall, confidence agrees with accuracy"
    return (
        f"{verdict}: mean confidence {formats.percent(confidence)}, accuracy {formats.percent(right / known)}, "
        f"expected calibration error {formats.percent(calibration.error)}."
    )
