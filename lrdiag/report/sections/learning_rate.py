"""The range test and the rates that were read from it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from lrdiag import formats
from lrdiag.rate.plots import positive_rates, smooth_line, y_limit
from lrdiag.rate.range_test import BELOW_THE_CYCLE
from lrdiag.record.facts import RangeTestFacts, Run
from lrdiag.report.charts.cache import drawn
from lrdiag.report.charts.range_test import range_test_chart


@dataclass(frozen=True)
class LearningRate:
    """The range test in words and as a chart.

    Attributes:
        sentence: The rates, or that none can be read.
        advice: Which of them to use, if the suggestion is below the cycle.
        note: Why there is no range test, or why it gave no rate.
        interval: How far the suggestions of the single sweeps differ, or `None` without a suggestion.
        test: The range test, or `None` without one.
        chart: The losses over the rates, or `None` if it has fewer than two points.
        cut: The loss at which the y axis ends, or `None` if it shows all losses.
    """

    sentence: str
    note: str | None
    advice: str | None = None
    interval: str | None = None
    test: RangeTestFacts | None = None
    chart: Markup | None = None
    cut: float | None = None


def build(run: Run) -> LearningRate | None:
    """Computes the content of the section; `None` without a range test and a note about it."""
    test, note = run.diagnosis.range_test, run.diagnosis.range_test_note
    if test is None:
        return LearningRate(sentence=note, note=None) if note else None
    read = LearningRate(_sentence(test), note, _advice(test), _interval(test, run.diagnosis.command), test)
    if np.isfinite(smooth_line(test)).sum() < 2 or len(positive_rates(test)) < 2:
        return read
    return dataclasses.replace(read, chart=drawn("range-test", test, lambda: range_test_chart(test)), cut=y_limit(test))


def _sentence(test: RangeTestFacts) -> str:
    if test.suggestion is None:
        return "No learning rate can be read from this range test."
    suggestion = f"Suggestion: {formats.rate(test.suggestion)}, where the loss falls fastest."
    if test.base_lr is None or test.max_lr is None:
        return suggestion
    return f"{suggestion} A cycle may run from {formats.rate(test.base_lr)} to {formats.rate(test.max_lr)}."


def _advice(test: RangeTestFacts) -> str | None:
    if test.suggestion is None or test.base_lr is None or test.suggestion >= test.base_lr:
        return None
    return BELOW_THE_CYCLE


def _interval(test: RangeTestFacts, command: str) -> str | None:
    if test.suggestion is None:
        return None
    if test.repeats == 1:
        five = "lrdiag find-lr --repeats 5 --json" if command else "lrdiag.find_lr with repeats=5"
        return f"One sweep was made. {five} makes five and reports how much the suggestion varies."
    if test.suggestion_low is None or test.suggestion_high is None:
        return (
            f"The suggestion has no interval: the {test.repeats} sweeps saw the same batches, or one of them cannot be "
            "read on its own."
        )
    return (
        f"The suggestions of the {test.repeats} single sweeps and of their mean lie between "
        f"{formats.rate(test.suggestion_low)} and {formats.rate(test.suggestion_high)}."
    )
