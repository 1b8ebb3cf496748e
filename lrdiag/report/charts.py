"""The charts of how the rate was found and how training went: numbers in, SVG out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from lrdiag import formats
from lrdiag.rate.suggest import local_quadratic
from lrdiag.records import Epoch, RangeTestFacts, TrainingRun
from lrdiag.report import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 6
"""Pixels between the end of a line and its label."""
_NAMES = 84
"""Pixels beside a chart for the labels of its lines."""
_FEWEST_SMOOTHED = 10
"""Fewer batches than this have no smoothed accuracy."""
_ACCURACY_BANDWIDTH = 0.25
"""Decades of the learning rate over which the accuracy is smoothed."""
_MARKED_EPOCHS = 30
"""Most epochs that each have a marker."""


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
                _above(charts[0], boundary, formats.rate(boundary))
        lowest = charts[-1]
        lowest.set_xlim(rates[0], rates[-1])
        ticks = rate_ticks(float(rates[0]), float(rates[-1]))
        lowest.set_xticks(ticks, [formats.rate(tick).replace(".0e", "e") for tick in ticks])
        lowest.set_xticks([], minor=True)
        lowest.set_xlabel("learning rate")
        return svg.to_page(figure, "range-test", _range_test_label(test))


def _draw_sweep(axes: Axes, test: RangeTestFacts, line: np.ndarray, top: float | None) -> None:
    rates, losses = np.asarray(test.learning_rates, dtype=float), np.asarray(losses_read(test), dtype=float)
    _dots(axes, *svg.thin(rates, losses), svg.INK)
    axes.plot(*svg.thin(rates[: len(line)], line), color=svg.TRAINING, linewidth=2, gid=".smoothed")
    if test.suggestion is not None:
        height = float(np.interp(np.log(test.suggestion), np.log(rates[: len(line)]), line))
        if test.suggestion_low is not None and test.suggestion_high is not None:
            _mark_interval(axes, test.suggestion_low, test.suggestion_high, height)
        _mark_suggestion(axes, test.suggestion, height)
    _limit(axes, np.nanmin(losses), np.nanmax(losses) if top is None else top)
    axes.locator_params(axis="y", nbins=5)
    svg.name_axis(axes, "validation loss" if test.val_losses else "loss")


def losses_read(test: RangeTestFacts) -> list[float]:
    """The losses that the rates were read from: those of the validation set where it was measured."""
    return test.val_losses or test.losses


def _draw_accuracies(axes: Axes, rates: np.ndarray, accuracies: np.ndarray) -> None:
    _dots(axes, *svg.thin(rates, accuracies), svg.INK)
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


def training_chart(training: TrainingRun, best: int | None) -> Markup:
    """Loss, accuracy, learning rate and, where it moved, momentum, one above the other, over epochs.

    What was not recorded is not drawn; there is no accuracy before the first epoch ends.

    Args:
        training: A training run of one step or one epoch or more.
        best: The best epoch, counted from 1, or `None`.
    """
    rows: list[tuple[str, float, Callable[[Axes], None]]] = [("loss", 3, lambda axes: _draw_losses(axes, training))]
    if any(each.accuracy is not None or each.val_accuracy is not None for each in training.epochs):
        rows.append(("accuracy", 3, lambda axes: _draw_epoch_accuracies(axes, training.epochs)))
    if training.learning_rate_per_step:
        rows.append(("learning rate", 2, lambda axes: _draw_rate(axes, training)))
    if momentum := training.momentum_per_step:
        rows.append(("momentum", 1.5, lambda axes: _draw_momentum(axes, training, momentum)))
    names, heights = [name for name, _, _ in rows], [height for _, height, _ in rows]
    with svg.drawing(height=50 * sum(heights), rows=heights, right=_NAMES) as (figure, charts):
        for axes, (_, _, draw) in zip(charts, rows, strict=True):
            draw(axes)
            axes.locator_params(axis="y", nbins=4)
            if best is not None:
                axes.axvline(best, color=svg.INK, linewidth=0.8, linestyle=(0, (3, 3)), alpha=0.7)
        if best is not None:
            _above(charts[0], best, "best")
        charts[-1].set_xlabel("epoch")
        updates = max(len(training.learning_rate_per_step), len(training.loss_per_step))
        charts[-1].set_xlim(0, max(len(training.epochs), updates / training.steps_per_epoch, 1))
        charts[-1].locator_params(axis="x", integer=True, nbins=8)
        return svg.to_page(figure, "training", _training_label(names, training.epochs))


def _draw_epoch_accuracies(axes: Axes, epochs: list[Epoch]) -> None:
    _curves(axes, [_percent(each.accuracy) for each in epochs], [_percent(each.val_accuracy) for each in epochs])
    svg.name_axis(axes, "accuracy, %")


def _draw_rate(axes: Axes, training: TrainingRun) -> None:
    rates = np.asarray(training.learning_rate_per_step)
    marker = "o" if len(rates) == 1 else None  # a single point is no line
    steps = _ends_of_updates(training, len(rates))
    axes.plot(*svg.thin(steps, rates), color=svg.INK, linewidth=1.5, marker=marker, gid=".rate")
    axes.set_ylim(bottom=0)
    svg.name_axis(axes, "learning rate")


def _draw_momentum(axes: Axes, training: TrainingRun, momentum: list[float]) -> None:
    steps = _ends_of_updates(training, len(momentum))
    axes.plot(*svg.thin(steps, np.asarray(momentum)), color=svg.INK, linewidth=1, gid=".momentum")
    svg.name_axis(axes, "momentum")


def _draw_losses(axes: Axes, training: TrainingRun) -> None:
    batch_losses = np.asarray(training.loss_per_step, dtype=float)
    if len(batch_losses):
        _dots(axes, *svg.thin(_ends_of_updates(training, len(batch_losses)), batch_losses), svg.TRAINING)
    curves = [each.loss for each in training.epochs], [each.val_loss for each in training.epochs]
    _curves(axes, *curves)
    known = [value for curve in curves for value in curve if value is not None]
    finite = batch_losses[np.isfinite(batch_losses)]
    if len(finite):
        # The few highest batches, or a diverged end, must not flatten the curves.
        known += [float(np.quantile(finite, 0.98)), float(finite.min())]
    if known:
        _limit(axes, min(known), max(known))
    svg.name_axis(axes, "loss")


def _ends_of_updates(training: TrainingRun, updates: int) -> np.ndarray:
    """When each update ended, in epochs."""
    return np.arange(1, updates + 1) / training.steps_per_epoch


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _training_label(drawn: list[str], epochs: list[Epoch]) -> str:
    names = " and ".join(filter(None, (", ".join(drawn[:-1]), drawn[-1])))
    label = f"{names.capitalize()} over {formats.plural(len(epochs), 'epoch')}"
    if not epochs or epochs[-1].accuracy is None:
        return label
    last = epochs[-1]
    return f"{label}; at the end training accuracy {formats.percent(last.accuracy)}, validation " + (
        formats.percent(last.val_accuracy) if last.val_accuracy is not None else "not measured"
    )


def _curves(axes: Axes, training: Sequence[float | None], validation: Sequence[float | None]) -> None:
    """Draws training and validation, each with its name at the end of its line."""
    ends: list[tuple[float, str, str]] = []
    for curve, name, colour, text_colour in (
        (training, "training", svg.TRAINING, svg.TRAINING_TEXT),
        (validation, "validation", svg.VALIDATION, svg.VALIDATION_TEXT),
    ):
        heights = np.array(curve, dtype=float)
        if not np.isfinite(heights).any():
            continue
        marker = "o" if len(heights) <= _MARKED_EPOCHS else None
        epochs = np.arange(1, len(heights) + 1)
        axes.plot(epochs, heights, color=colour, linewidth=2, marker=marker, markersize=4.5, clip_on=False)
        ends.append((float(heights[np.isfinite(heights)][-1]), name, text_colour))
    for offset, (height, name, colour) in zip(_spread([end[0] for end in ends], axes), ends, strict=True):
        axes.annotate(
            name,
            (1, height),
            xycoords=("axes fraction", "data"),
            xytext=(_GAP, offset),
            textcoords="offset points",
            color=colour,
            va="center",
        )


def _spread(heights: list[float], axes: Axes) -> list[float]:
    """How far to move two labels apart, in pixels, so that they do not lie on each other."""
    if len(heights) < 2:
        return [0.0] * len(heights)
    low, high = axes.get_ylim()
    apart = (heights[0] - heights[1]) / (high - low) * axes.get_window_extent().height
    push = max(0.0, 15 - abs(apart)) / 2
    return [push, -push] if apart >= 0 else [-push, push]


def _limit(axes: Axes, low: float, high: float) -> None:
    margin = 0.05 * (high - low) + 1e-9
    axes.set_ylim(low - margin, high + margin)


def _above(axes: Axes, x: float, text: str) -> None:
    axes.annotate(
        text, (x, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points", ha="center"
    )


def _dots(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """Faint points as one path of empty strokes with round ends: a tenth of the bytes of as many markers."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(x):
        return
    vertices = np.repeat(np.column_stack([x, y]), 2, axis=0)
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=Path.code_type), len(x))
    axes.add_patch(
        PathPatch(Path(vertices, codes), fill=False, edgecolor=colour, alpha=0.35, linewidth=3, capstyle="round")
    )
