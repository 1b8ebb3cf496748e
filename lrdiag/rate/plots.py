"""Range tests drawn with matplotlib, for the page and for the user's own figures."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from lrdiag import drawing, formats
from lrdiag.errors import require_choice
from lrdiag.palette import LIGHT
from lrdiag.record.facts import RangeTestFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEADROOM = 0.5
"""The y axis ends this share of the height of the descent above its start, so that divergence does not flatten it."""


@dataclass(frozen=True)
class Colours:
    """The colours of a reading."""

    ink: str = LIGHT["ink"]
    paper: str = LIGHT["paper"]
    line: str = LIGHT["training"]
    mark: str = LIGHT["validation"]
    mark_text: str = LIGHT["validation-text"]


def losses_read(test: RangeTestFacts) -> list[float]:
    """Returns the losses that the rates were read from: the validation losses if they were measured."""
    return test.val_losses or test.losses


def positive_rates(test: RangeTestFacts) -> np.ndarray:
    """Returns the positive rates, which a logarithmic axis can show. A sweep may begin with rates of 0.

    Returns:
        `float64` array of shape `(n,)`, of the last `n` updates.
    """
    rates = np.asarray(test.learning_rates, dtype=float)
    return rates[np.count_nonzero(rates <= 0) :]


def smooth_line(test: RangeTestFacts) -> np.ndarray:
    """Returns the line through the losses: the trend that the rates were read from, else the moving average.

    Returns:
        `float64` array of shape `(n,)`, for the first `n` updates. A trend is cut at the point where it exceeds its
        start, or where the losses leave it permanently, because the loss diverges from there on.
    """
    if not test.trend:
        return np.asarray(test.smoothed_losses, dtype=float)
    trend, losses = np.asarray(test.trend, dtype=float), np.asarray(losses_read(test), dtype=float)
    lowest = int(trend.argmin())
    climbed = np.flatnonzero(trend[lowest:] > trend[: lowest + 1].max())
    trend = trend[: lowest + climbed[0] + 1] if len(climbed) else trend
    below = np.flatnonzero(losses[: len(trend)] <= trend.max())
    return trend[: below[-1] + 1] if len(below) else trend


def y_limit(test: RangeTestFacts) -> float | None:
    """Returns the end of the y axis, so that divergence does not flatten the descent. `None` shows all losses."""
    line = smooth_line(test)
    if not np.isfinite(line).any():
        return _end_of_axis(losses_read(test))
    lowest = int(np.nanargmin(line))
    return _end_of_axis(losses_read(test), float(np.nanmax(line[: lowest + 1])), float(line[lowest]))


def _end_of_axis(losses: list[float], start: float | None = None, lowest: float | None = None) -> float | None:
    """Returns the height of half a descent above its start, or `None` if no loss is much higher.

    Without `start` and `lowest`, both are taken from the losses.
    """
    values = np.asarray(losses, dtype=float)
    if not np.isfinite(values).any():
        return None
    start = float(np.nanmedian(values[: max(5, len(values) // 10)])) if start is None else start
    lowest = float(np.nanmin(values)) if lowest is None else lowest
    descent = max(start - lowest, 0.1 * abs(start), 1e-6)
    top = start + _HEADROOM * descent
    return top if float(np.nanmax(values)) > top + 0.25 * descent else None


def draw_reading(axes: Axes, test: RangeTestFacts, colours: Colours) -> None:
    """Draws losses, trend, boundaries, suggestion and its interval over the learning rate.

    Args:
        axes: Where to draw.
        test: A range test.
        colours: The colours.
    """
    axes.set_xscale("log")
    losses, line = np.asarray(losses_read(test), dtype=float), smooth_line(test)
    rates = positive_rates(test)
    first = len(losses) - len(rates)
    course = rates[: max(0, len(line) - first)], line[first:]
    drawing.dots(axes, *drawing.thin(rates, losses[first:]), colours.ink)
    axes.plot(*drawing.thin(*course), color=colours.line, linewidth=2, gid=".smoothed")
    if test.base_lr is not None and test.max_lr is not None and test.base_lr < test.max_lr:
        shade_boundaries(axes, test.base_lr, test.max_lr, colours.ink)
        for boundary in (test.base_lr, test.max_lr):
            drawing.above(axes, boundary, formats.rate(boundary))
    if test.suggestion is not None:
        height = float(np.interp(np.log(test.suggestion), np.log(course[0]), course[1]))
        _mark_suggestion(axes, test, test.suggestion, height, colours)
    if len(rates) > 1:
        axes.set_xlim(rates[0], rates[-1])
    if np.isfinite(losses).any():
        top = y_limit(test)
        drawing.limit(axes, float(np.nanmin(losses)), float(np.nanmax(losses)) if top is None else top)


def shade_boundaries(axes: Axes, base_lr: float, max_lr: float, colour: str) -> None:
    """Shades the rates of a cycle."""
    axes.axvspan(base_lr, max_lr, color=colour, alpha=0.09, linewidth=0, gid=".boundaries")


def _mark_suggestion(axes: Axes, test: RangeTestFacts, suggestion: float, height: float, colours: Colours) -> None:
    if test.suggestion_low is not None and test.suggestion_high is not None:
        ends = [test.suggestion_low, test.suggestion_high]
        axes.plot(ends, [height, height], color=colours.mark, linewidth=2, marker="|", markersize=11, gid=".interval")
    axes.plot(
        [suggestion], [height], "o", markersize=8, color=colours.mark, markeredgecolor=colours.paper, gid=".suggestion"
    )
    axes.annotate(
        formats.rate(suggestion),
        (suggestion, height),
        xytext=(9, 5),
        textcoords="offset points",
        color=colours.mark_text,
        fontweight="bold",
    )


def plot_range_test(test: RangeTestFacts, axes: Axes | None, kind: str) -> Axes:
    """Draws one kind of plot; see `RangeTest.plot`."""
    from matplotlib import pyplot

    kinds: dict[str, Callable[[RangeTestFacts, Axes], None]] = {"reading": _draw_reading, **_CLASSICAL}
    require_choice("kind", kind, kinds)
    axes = axes or pyplot.subplots(layout="constrained")[1]
    kinds[kind](test, axes)
    return axes


def plot_four(test: RangeTestFacts) -> Figure:
    """Draws the four classical plots side by side; see `RangeTest.plot_all`."""
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for axes, draw in zip(grid.flat, _CLASSICAL.values(), strict=True):
        draw(test, axes)
    return figure


def range_test_html(test: RangeTestFacts, summary: str) -> str:
    """Returns the HTML that a notebook shows: the summary and the plot."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    plot_range_test(test, axes, "reading")
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    svg = content.getvalue()
    return f"<div><p>Range test: {escape(summary)}</p>{svg[svg.index('<svg') :]}</div>"


def _draw_reading(test: RangeTestFacts, axes: Axes) -> None:
    draw_reading(axes, test, Colours())
    axes.set(xlabel="learning rate", ylabel="validation loss" if test.val_losses else "loss")


def _draw_rates(test: RangeTestFacts, axes: Axes) -> None:
    axes.plot(test.learning_rates)
    axes.set(xlabel="iteration", ylabel="learning rate", yscale="log")


def _draw_losses(test: RangeTestFacts, axes: Axes) -> None:
    axes.plot(test.losses)
    axes.set(xlabel="iteration", ylabel="loss")
    _cut_divergence(axes, test.losses)


def _draw_losses_by_rate(test: RangeTestFacts, axes: Axes) -> None:
    axes.plot(test.learning_rates, test.losses)
    axes.set(xlabel="learning rate", ylabel="loss", xscale="log")
    _cut_divergence(axes, test.losses)


def _draw_smoothed_losses(test: RangeTestFacts, axes: Axes) -> None:
    axes.plot(test.learning_rates[: len(test.smoothed_losses)], test.smoothed_losses)
    axes.set(xlabel="learning rate", ylabel="smoothed loss", xscale="log")
    _cut_divergence(axes, test.smoothed_losses)


def _cut_divergence(axes: Axes, losses: list[float]) -> None:
    """Ends the y axis above the first losses, so that divergence does not flatten the descent."""
    top = _end_of_axis(losses)
    if top is not None:
        drawing.limit(axes, float(np.nanmin(losses)), top)


_CLASSICAL: dict[str, Callable[[RangeTestFacts, Axes], None]] = {
    "rate-by-iteration": _draw_rates,
    "loss-by-iteration": _draw_losses,
    "loss-by-rate": _draw_losses_by_rate,
    "smoothed-loss-by-rate": _draw_smoothed_losses,
}
