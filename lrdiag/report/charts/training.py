"""The chart of a training run: loss, accuracy, learning rate and momentum over epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from lrdiag import formats
from lrdiag.record.facts import Epoch, TrainingRun
from lrdiag.report.charts import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 6
"""Pixels between the end of a line and its label."""
_NAMES = 84
"""Pixels beside a chart for the labels of its lines."""
_MARKED_EPOCHS = 30
"""Most epochs that each have a marker."""


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
            svg.above(charts[0], best, "best")
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
        svg.dots(axes, *svg.thin(_ends_of_updates(training, len(batch_losses)), batch_losses), svg.TRAINING)
    curves = [each.loss for each in training.epochs], [each.val_loss for each in training.epochs]
    _curves(axes, *curves)
    known = [value for curve in curves for value in curve if value is not None]
    finite = batch_losses[np.isfinite(batch_losses)]
    if len(finite):
        # The few highest batches, or a diverged end, must not flatten the curves.
        known += [float(np.quantile(finite, 0.98)), float(finite.min())]
    if known:
        svg.limit(axes, min(known), max(known))
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
