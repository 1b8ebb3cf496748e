"""Range tests drawn with matplotlib, in the style that the user has set."""

from __future__ import annotations

import io
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from lrdiag import formats
from lrdiag.errors import NoSuggestion, require_choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lrdiag.rate.range_test import RangeTest

_HEADROOM = 0.5
"""Of the height of the descent, above where it starts: divergence is cut off there, lest it flatten everything."""


def plot_range_test(test: RangeTest, axes: Axes | None, kind: str) -> Axes:
    """Draws one kind of plot; see `RangeTest.plot`."""
    kinds: dict[str, Callable[[RangeTest, Axes], None]] = {"reading": _draw_reading, **_CLASSICAL}
    require_choice("kind", kind, kinds)
    axes = axes or plt.subplots(layout="constrained")[1]
    kinds[kind](test, axes)
    return axes


def plot_four(test: RangeTest) -> Figure:
    """Draws the four classical plots side by side; see `RangeTest.plot_all`."""
    figure, grid = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for axes, draw in zip(grid.flat, _CLASSICAL.values(), strict=True):
        draw(test, axes)
    return figure


def range_test_html(test: RangeTest) -> str:
    """What a notebook shows: what can be read, and the plot."""
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    plot_range_test(test, axes, "reading")
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg", metadata={"Date": None})
    plt.close(figure)
    svg = drawing.getvalue()
    return f"<div><p>Range test: {escape(test.summary())}</p>{svg[svg.index('<svg') :]}</div>"


def _draw_reading(test: RangeTest, axes: Axes) -> None:
    axes.set_xscale("log")
    for sweep in test.sweeps:
        axes.plot(sweep.learning_rates, sweep.val_losses or sweep.losses, ".", color="0.6", markersize=4)
    axes.set(xlabel="learning rate", ylabel="validation loss" if test.val_losses else "loss")
    _cut_divergence(axes, test.val_losses or test.losses)
    try:
        reading = test.reading
    except NoSuggestion:
        return
    axes.axvspan(reading.base_lr, reading.max_lr, color="0.5", alpha=0.15, linewidth=0, label="boundaries")
    if len(test.sweeps) > 1:
        _draw_interval(test, axes)
    axes.plot(test.learning_rates, reading.trend, color="C0", linewidth=2, label="trend")
    height = float(np.interp(np.log(reading.suggestion), np.log(test.learning_rates), reading.trend))
    axes.plot(reading.suggestion, height, "o", color="C1", label=f"suggestion {formats.rate(reading.suggestion)}")
    axes.legend()


def _cut_divergence(axes: Axes, losses: list[float]) -> None:
    """Ends the axis above the losses of the beginning, where a divergence would flatten the descent."""
    if not losses:
        return
    lowest, start = min(losses), float(np.median(losses[: max(5, len(losses) // 10)]))
    top = start + _HEADROOM * (start - lowest)
    if lowest < start and max(losses) > top:
        axes.set_ylim(lowest - 0.05 * (start - lowest), top)


def _draw_interval(test: RangeTest, axes: Axes) -> None:
    sweeps = f"{len(test.sweeps)} sweeps"
    try:
        low, high = test.interval()
    except NoSuggestion:  # `interval` says why
        axes.plot([], [], " ", label=f"{sweeps}, no interval")
        return
    axes.axvspan(low, high, color="C1", alpha=0.25, linewidth=0, label=sweeps)


def _draw_rates(test: RangeTest, axes: Axes) -> None:
    axes.plot(test.learning_rates)
    axes.set(xlabel="iteration", ylabel="learning rate", yscale="log")


def _draw_losses(test: RangeTest, axes: Axes) -> None:
    axes.plot(test.losses)
    axes.set(xlabel="iteration", ylabel="loss")
    _cut_divergence(axes, test.losses)


def _draw_losses_by_rate(test: RangeTest, axes: Axes) -> None:
    axes.plot(test.learning_rates, test.losses)
    axes.set(xlabel="learning rate", ylabel="loss", xscale="log")
    _cut_divergence(axes, test.losses)


def _draw_smoothed_losses(test: RangeTest, axes: Axes) -> None:
    axes.plot(test.learning_rates[: len(test.smoothed_losses)], test.smoothed_losses)
    axes.set(xlabel="learning rate", ylabel="smoothed loss", xscale="log")
    _cut_divergence(axes, test.smoothed_losses)


_CLASSICAL: dict[str, Callable[[RangeTest, Axes], None]] = {
    "rate-by-iteration": _draw_rates,
    "loss-by-iteration": _draw_losses,
    "loss-by-rate": _draw_losses_by_rate,
    "smoothed-loss-by-rate": _draw_smoothed_losses,
}
