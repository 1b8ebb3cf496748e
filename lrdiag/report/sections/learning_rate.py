"""The range test and what was read off it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from lrdiag import formats, run_folder
from lrdiag.records import RangeTestFacts, Run
from lrdiag.report import charts
from lrdiag.report.chart_cache import drawn_once


@dataclass(frozen=True)
class LearningRate:
    """The range test in words and as a chart.

    Attributes:
        sentence: What was read off the test, or why there is none.
        note: What else the run says of it.
        chart: The losses over the rates, or `None` without a range test.
        cut: The loss above which the chart is cut off, or `None`.
        updates: How many rates were tried.
        stop_reason: Why the sweep ended.
    """

    sentence: str
    note: str | None
    chart: Markup | None = None
    cut: float | None = None
    updates: int = 0
    stop_reason: str = ""


def build(run: Run) -> LearningRate:
    """Draws the range test."""
    test, note = run.diagnosis.range_test, run.diagnosis.range_test_note
    if test is None:
        return LearningRate(sentence=note or "There was no range test.", note=None)
    line = smooth_line(test)
    if np.isfinite(line).sum() < 2:
        return LearningRate(_sentence(test), note, None, None, len(test.losses), test.stop_reason)
    cut = y_limit(test, line)
    chart = drawn_once(run, run_folder.RANGE_TEST_CHART, (test, cut), lambda: charts.range_test_chart(test, line, cut))
    return LearningRate(_sentence(test), note, chart, cut, len(test.losses), test.stop_reason)


def smooth_line(test: RangeTestFacts) -> np.ndarray:
    """The line to draw through the losses: what the rates were read from, else the moving average.

    Returns:
        `float64` array of shape `(n,)`, for the first `n` updates. The trend is read from capped losses; it ends here
        where they leave it behind.
    """
    if not test.trend:
        return np.asarray(test.smoothed_losses, dtype=float)
    trend, losses = np.asarray(test.trend, dtype=float), np.asarray(test.losses, dtype=float)
    below = np.flatnonzero(losses[: len(trend)] <= trend.max())
    return trend[: below[-1] + 1] if len(below) else trend


def _sentence(test: RangeTestFacts) -> str:
    if test.suggestion is None:
        return "No learning rate can be read off this range test."
    steepest = f"The loss falls fastest at a rate of {formats.rate(test.suggestion)}"
    if test.base_lr is None or test.max_lr is None:
        return f"{steepest}."
    return f"{steepest}; the descent runs from {formats.rate(test.base_lr)} to {formats.rate(test.max_lr)}."


def y_limit(test: RangeTestFacts, line: np.ndarray) -> float | None:
    """Where to cut the y axis so that divergence does not flatten the descent, or `None`: nowhere.

    The descent runs from the highest point of the line before its lowest down to it; half its height is left above.
    """
    lowest = int(np.nanargmin(line))
    start = float(np.nanmax(line[: lowest + 1]))
    descent = max(start - float(line[lowest]), 0.1 * abs(start), 1e-6)
    top = start + 0.5 * descent
    highest = float(np.nanmax(np.asarray(test.losses, dtype=float)))
    return top if highest > top + 0.25 * descent else None
