"""The chart of the range test, as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from lrdiag import drawing, formats
from lrdiag.rate.plots import Colours, draw_reading, positive_rates, shade_boundaries
from lrdiag.rate.reading import local_quadratic
from lrdiag.record.facts import RangeTestFacts
from lrdiag.report.charts import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = Colours(svg.INK, svg.PAPER, svg.TRAINING, svg.VALIDATION, svg.VALIDATION_TEXT)
_FEWEST_SMOOTHED = 10
"""With fewer batches, the accuracy is not smoothed."""
_ACCURACY_BANDWIDTH = 0.25
"""Decades of the learning rate over which the accuracy is smoothed."""


def range_test_chart(test: RangeTestFacts) -> Markup:
    """Draws the loss over the learning rate and, if it was measured, the accuracy below it.

    Args:
        test: A range test of two updates or more at positive rates.
    """
    rates = positive_rates(test)
    rows = [3.0, 1.0] if test.accuracies else [3.0]
    with svg.drawing(height=90 * sum(rows), rows=rows) as (figure, charts):
        draw_reading(charts[0], test, _COLOURS)
        charts[0].locator_params(axis="y", nbins=5)
        svg.name_axis(charts[0], "validation loss" if test.val_losses else "loss")
        for axes in charts[1:]:
            _draw_accuracies(axes, rates, 100 * np.asarray(test.accuracies[-len(rates) :], dtype=float))
            if test.base_lr is not None and test.max_lr is not None and test.base_lr < test.max_lr:
                shade_boundaries(axes, test.base_lr, test.max_lr, svg.INK)
        lowest = charts[-1]
        ticks = rate_ticks(float(rates[0]), float(rates[-1]))
        lowest.set_xticks(ticks, [formats.rate(tick) for tick in ticks])
        lowest.set_xticks([], minor=True)
        lowest.set_xlabel("learning rate")
        return svg.to_page(figure, "range-test", _label(test))


def _draw_accuracies(axes: Axes, rates: np.ndarray, accuracies: np.ndarray) -> None:
    drawing.dots(axes, *drawing.thin(rates, accuracies), svg.INK)
    if len(rates) > _FEWEST_SMOOTHED:
        places = np.log10(rates)
        smoothed = local_quadratic(places, accuracies, places, _ACCURACY_BANDWIDTH)[0].clip(0, 100)
        axes.plot(*drawing.thin(rates, smoothed), color=svg.TRAINING, linewidth=1.5, gid=".accuracy")
    axes.set_ylim(0, 1.05 * max(accuracies.max(), 1))
    axes.locator_params(axis="y", nbins=3)
    svg.name_axis(axes, "accuracy, %")


def _label(test: RangeTestFacts) -> str:
    span = f"from {formats.rate(test.learning_rates[0])} to {formats.rate(test.learning_rates[-1])}"
    read = "no suggestion" if test.suggestion is None else f"suggestion {formats.rate(test.suggestion)}"
    if test.suggestion_low is not None and test.suggestion_high is not None:
        read += f", single sweeps from {formats.rate(test.suggestion_low)} to {formats.rate(test.suggestion_high)}"
    return f"Range test: loss over learning rates {span}; {read}"


def rate_ticks(low: float, high: float) -> list[float]:
    """Returns the powers of ten between two rates, at most eight. If there are few, 1, 2 and 5 times each of them."""
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    powers = [10.0**exponent for exponent in exponents if low * 0.999 <= 10.0**exponent <= high * 1.001]
    if len(powers) >= 3:
        return powers[:: -(-len(powers) // 8)]
    finer = [float(f"{digit}e{exponent}") for exponent in exponents for digit in (1, 2, 5)]
    return [tick for tick in finer if low * 0.999 <= tick <= high * 1.001] or [low, high]
