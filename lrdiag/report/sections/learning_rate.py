"""The range test and what was read off it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from lrdiag import formats
from lrdiag.record import folder as run_folder
from lrdiag.record.facts import RangeTestFacts, Run
from lrdiag.report.charts import range_test as charts
from lrdiag.report.charts.cache import drawn_once


@dataclass(frozen=True)
class LearningRate:
    """The range test in words and as a chart.

    Attributes:
        sentence: What was read off the test, or why there is none.
        note: What else the run says of it.
        interval: How far the suggestions of single sweeps differ, or `None` where nothing was read.
        test: The range test, or `None` without one.
        chart: The losses over the rates, or `None` where there is no line to draw.
        cut: The loss above which the chart is cut off, or `None`.
    """

    sentence: str
    note: str | None
    interval: str | None = None
    test: RangeTestFacts | None = None
    chart: Markup | None = None
    cut: float | None = None


def build(run: Run) -> LearningRate | None:
    """Draws the range test; `None` where there was none, and nothing to say of it."""
    test, note = run.diagnosis.range_test, run.diagnosis.range_test_note
    if test is None:
        return LearningRate(sentence=note, note=None) if note else None
    read = LearningRate(_sentence(test), note, _interval(test), test)
    line = smooth_line(test)
    if np.isfinite(line).sum() < 2:
        return read
    cut = y_limit(test, line)
    chart = drawn_once(run, run_folder.RANGE_TEST_CHART, (test, cut), lambda: charts.range_test_chart(test, line, cut))
    return dataclasses.replace(read, chart=chart, cut=cut)


def smooth_line(test: RangeTestFacts) -> np.ndarray:
    """The line to draw through the losses: what the rates were read from, else the moving average.

    Returns:
        `float64` array of shape `(n,)`, for the first `n` updates. A trend ends here where it has climbed higher than
        it began, and where the losses leave it behind for good: what follows is divergence.
    """
    if not test.trend:
        return np.asarray(test.smoothed_losses, dtype=float)
    trend, losses = np.asarray(test.trend, dtype=float), np.asarray(charts.losses_read(test), dtype=float)
    lowest = int(trend.argmin())
    climbed = np.flatnonzero(trend[lowest:] > trend[: lowest + 1].max())
    trend = trend[: lowest + climbed[0] + 1] if len(climbed) else trend
    below = np.flatnonzero(losses[: len(trend)] <= trend.max())
    return trend[: below[-1] + 1] if len(below) else trend


def _sentence(test: RangeTestFacts) -> str:
    if test.suggestion is None:
        return "No learning rate can be read off this range test."
    steepest = f"The loss falls fastest at a rate of {formats.rate(test.suggestion)}"
    if test.base_lr is None or test.max_lr is None:
        return f"{steepest}."
    return f"{steepest}; a cycle may run from {formats.rate(test.base_lr)} to {formats.rate(test.max_lr)}."


def _interval(test: RangeTestFacts) -> str | None:
    if test.suggestion is None:
        return None
    if test.repeats == 1:
        return "One sweep was made; lrdiag find-lr --repeats 5 makes more and says how far chance moves this rate."
    if test.suggestion_low is None or test.suggestion_high is None:
        return f"Of the {test.repeats} sweeps some could not be read by themselves, so the rate has no interval."
    return (
        f"Read one by one, the {test.repeats} sweeps and their mean suggest rates from "
        f"{formats.rate(test.suggestion_low)} to {formats.rate(test.suggestion_high)}."
    )


def y_limit(test: RangeTestFacts, line: np.ndarray) -> float | None:
    """Where to cut the y axis so that divergence does not flatten the descent, or `None`: nowhere.

    The descent runs from the highest point of the line before its lowest down to it; half its height is left above.
    """
    lowest = int(np.nanargmin(line))
    start = float(np.nanmax(line[: lowest + 1]))
    descent = max(start - float(line[lowest]), 0.1 * abs(start), 1e-6)
    top = start + 0.5 * descent
    highest = float(np.nanmax(np.asarray(charts.losses_read(test), dtype=float)))
    return top if highest > top + 0.25 * descent else None
