"""The charts of how the rate was found and how training went: numbers in, SVG out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from lrdiag import formats
from lrdiag.rate.reading import local_quadratic
from lrdiag.record.facts import RangeTestFacts
from lrdiag.report.charts import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEWEST_SMOOTHED = 10
"""Fewer batches than this have no smoothed accuracy."""
_ACCURACY_BANDWIDTH = 0.25
"""Decades of the learning rate over which the accuracy is smoothed."""


def range_test_chart(test: RangeTestFacts, line: np.ndarray, top: float | None) -> Markup:
    """The loss over the learning rate and, where it was measured, the accuracy below it.

    Args:
        test: A range test of two updates or more.
        line: `float64` array of shape `(n,)`: the smoothed loss of the first `n` updates.
        top: Where the y axis is cut, or `None`: it ends with the losses.
    """
    rates = np.asarray(test.learning_rates, dtype=float)
    rows = [3.0, 1.0] if test.accuracies else [3.0]
    with svg.drawing(height=90 * sum(rows), rows=rows) as (figure, charts):
        charts[0].set_xscale("log")
        _draw_sweep(charts[0], test, line, top)
        for axes in charts[1:]:
            _draw_accuracies(axes, rates, 100 * np.asarray(test.accuracies, dtype=float))
        if test.base_lr is not None and test.max_lr is not None and test.base_lr < test.max_lr:
            for axes in charts:
                axes.axvspan(test.base_lr, test.max_lr, color=svg.INK, alpha=0.09, linewidth=0, gid=".boundaries")
            for boundary in (test.base_lr, test.max_lr):
                svg.above(charts[0], boundary, formats.rate(boundary))
        lowest = charts[-1]
        lowest.set_xlim(rates[0], rates[-1])
        ticks = rate_ticks(float(rates[0]), float(rates[-1]))
        lowest.set_xticks(ticks, [formats.rate(tick).replace(".0e", "e") for tick in ticks])
        lowest.set_xticks([], minor=True)
        lowest.set_xlabel("learning rate")
        return svg.to_page(figure, "range-test", _range_test_label(test))


def _draw_sweep(axes: Axes, test: RangeTestFacts, line: np.ndarray, top: float | None) -> None:
    rates, losses = np.asarray(test.learning_rates, dtype=float), np.asarray(losses_read(test), dtype=float)
    svg.dots(axes, *svg.thin(rates, losses), svg.INK)
    axes.plot(*svg.thin(rates[: len(line)], line), color=svg.TRAINING, linewidth=2, gid=".smoothed")
    if test.suggestion is not None:
        height = float(np.interp(np.log(test.suggestion), np.log(rates[: len(line)]), line))
        if test.suggestion_low is not None and test.suggestion_high is not None:
            _mark_interval(axes, test.suggestion_low, test.suggestion_high, height)
        _mark_suggestion(axes, test.suggestion, height)
    svg.limit(axes, np.nanmin(losses), np.nanmax(losses) if top is None else top)
    axes.locator_params(axis="y", nbins=5)
    svg.name_axis(axes, "validation loss" if test.val_losses else "loss")


def losses_read(test: RangeTestFacts) -> list[float]:
    """The losses that the rates were read from: those of the validation set where it was measured."""
    return test.val_losses or test.losses


def _draw_accuracies(axes: Axes, rates: np.ndarray, accuracies: np.ndarray) -> None:
    svg.dots(axes, *svg.thin(rates, accuracies), svg.INK)
    if len(rates) > _FEWEST_SMOOTHED:
        places = np.log10(rates)
        smoothed = local_quadratic(places, accuracies, places, _ACCURACY_BANDWIDTH)[0].clip(0, 100)
        axes.plot(*svg.thin(rates, smoothed), color=svg.TRAINING, linewidth=1.5, gid=".accuracy")
    axes.set_ylim(0, 1.05 * max(accuracies.max(), 1))
    axes.locator_params(axis="y", nbins=3)
    svg.name_axis(axes, "accuracy, %")


def _mark_interval(axes: Axes, low: float, high: float, height: float) -> None:
    axes.plot(
        [low, high], [height, height], color=svg.VALIDATION, linewidth=2, marker="|", markersize=11, gid=".interval"
    )


def _mark_suggestion(axes: Axes, suggestion: float, height: float) -> None:
    axes.plot(
        [suggestion], [height], "o", markersize=8, color=svg.VALIDATION, markeredgecolor=svg.PAPER, gid=".suggestion"
    )
    axes.annotate(
        formats.rate(suggestion),
        (suggestion, height),
        xytext=(9, 5),
        textcoords="offset points",
        color=svg.VALIDATION_TEXT,
        fontweight="bold",
    )


def _range_test_label(test: RangeTestFacts) -> str:
    span = f"from {formats.rate(test.learning_rates[0])} to {formats.rate(test.learning_rates[-1])}"
    read = "no rate suggested" if test.suggestion is None else f"suggested rate {formats.rate(test.suggestion)}"
    if test.suggestion_low is not None and test.suggestion_high is not None:
        read += f", single sweeps from {formats.rate(test.suggestion_low)} to {formats.rate(test.suggestion_high)}"
    return f"Range test: loss over learning rates {span}; {read}"


def rate_ticks(low: float, high: float) -> list[float]:
    """Whole powers of ten between two rates, at most eight; 1, 2 and 5 of each where there are too few."""
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    powers = [10.0**exponent for exponent in exponents if low * 0.999 <= 10.0**exponent <= high * 1.001]
    if len(powers) >= 3:
        return powers[:: -(-len(powers) // 8)]
    finer = [float(f"{digit}e{exponent}") for exponent in exponents for digit in (1, 2, 5)]
    return [tick for tick in finer if low * 0.999 <= tick <= high * 1.001] or [low, high]
