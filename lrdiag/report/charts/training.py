"""The chart of a training run: loss, accuracy, learning rate and momentum over epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from markupsafe import Markup

from lrdiag import drawing, formats
from lrdiag.record.facts import Epoch, TrainingRun
from lrdiag.report.charts import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 6
"""Pixels between the end of a line and its label."""
_NAMES = 84
"""Pixels beside a chart for the labels of its lines."""
_MARKED_EPOCHS = 30
"""Maximum number of epochs that are drawn with markers."""
_FEWEST_IN_WINDOW = 10
"""Minimum number of batches in a window."""
_MOST_WINDOWS = 120
_FEWEST_WINDOWS = 5
"""With fewer windows, every batch is drawn as a point."""
_IN_VIEW, _HEADROOM = 0.98, 1.5
"""The axis of the losses ends at 1.5 times the height of 98 % of them, so that divergence does not flatten the rest."""


class Windows(NamedTuple):
    """Percentiles of the losses of consecutive batches.

    Attributes:
        size: Number of batches in a window; the last may have fewer.
        middles: `float64` array of shape `(n,)`: where each window lies, in epochs.
        medians: `float64` array of shape `(n,)`; NaN if no loss of the window is finite.
        low: `float64` array of shape `(n,)`: 10th percentile.
        high: `float64` array of shape `(n,)`: 90th percentile.
    """

    size: int
    middles: np.ndarray
    medians: np.ndarray
    low: np.ndarray
    high: np.ndarray


def windows(training: TrainingRun) -> Windows | None:
    """Returns the losses of the batches in windows, or `None` if there are so few that each is drawn as a point."""
    losses = np.asarray(training.loss_per_step, dtype=float)
    size = max(_FEWEST_IN_WINDOW, -(-len(losses) // _MOST_WINDOWS))
    count = -(-len(losses) // size)
    if count < _FEWEST_WINDOWS:
        return None
    padded = np.full(count * size, np.nan)
    padded[: len(losses)] = np.where(np.isfinite(losses), losses, np.nan)
    figures = np.full((3, count), np.nan)
    known = np.isfinite(padded.reshape(count, size)).any(axis=1)
    measured = padded.reshape(count, size)[known]
    # "nearest" keeps a single outlier among ten batches out of the band.
    figures[:, known] = (
        np.nanmedian(measured, axis=1),
        *np.nanpercentile(measured, [10, 90], axis=1, method="nearest"),
    )
    starts = np.arange(count) * size
    ends = np.minimum(starts + size, len(losses))
    return Windows(size, _epochs_before(training) + (starts + 1 + ends) / 2 / training.steps_per_epoch, *figures)


def loss_limit(training: TrainingRun) -> float | None:
    """Returns the end of the axis of the losses, so that few high losses do not flatten it. `None` shows all losses.

    It shows the losses of all epochs.
    """
    losses = np.asarray(training.loss_per_step, dtype=float)
    losses = losses[np.isfinite(losses)]
    if not len(losses):
        return None
    epochs, summed_up = _epoch_losses(training.epochs), windows(training)
    lowest = min([float(losses.min()), *epochs])
    top = lowest + _HEADROOM * (max([float(np.quantile(losses, _IN_VIEW)), *epochs]) - lowest)
    highest = losses.max() if summed_up is None else np.nanmax(summed_up.high)
    return top if highest > top else None


def _epoch_losses(epochs: list[Epoch]) -> list[float]:
    return [loss for each in epochs for loss in (each.loss, each.val_loss) if loss is not None]


def training_chart(training: TrainingRun, best: int | None) -> Markup:
    """Loss, accuracy, learning rate and, if it changed, momentum over epochs, one above the other.

    Values that were not recorded are not drawn. There is no accuracy before the first epoch ends.

    Args:
        training: A training run with one step or one epoch at least.
        best: Number of the best epoch, or `None`.
    """
    rows: list[tuple[str, float, Callable[[Axes], None]]] = [("loss", 3, lambda axes: _draw_losses(axes, training))]
    if any(each.accuracy is not None or each.val_accuracy is not None for each in training.epochs):
        rows.append(("accuracy", 3, lambda axes: _draw_epoch_accuracies(axes, training)))
    if training.learning_rate_per_step:
        rows.append(("learning rate", 2, lambda axes: _draw_rate(axes, training)))
    if momentum := training.momentum_per_step:
        rows.append(("momentum", 1.5, lambda axes: _draw_momentum(axes, training, momentum)))
    names, heights = [name for name, _, _ in rows], [height for _, height, _ in rows]
    with svg.drawing(height=54 * sum(heights), rows=heights, right=_NAMES) as (figure, charts):
        for axes, (_, _, draw) in zip(charts, rows, strict=True):
            draw(axes)
            axes.locator_params(axis="y", nbins=4)
            if best is not None:
                axes.axvline(best, color=svg.INK, linewidth=0.8, linestyle=(0, (3, 3)), alpha=0.7)
        if best is not None:
            drawing.above(charts[0], best, "best")
        charts[-1].set_xlabel("epoch")
        updates = max(len(training.learning_rate_per_step), len(training.loss_per_step))
        before = _epochs_before(training)
        charts[-1].set_xlim(before, before + max(len(training.epochs), updates / training.steps_per_epoch, 1))
        charts[-1].locator_params(axis="x", integer=True, nbins=8)
        return svg.to_page(figure, "training", _training_label(names, training.epochs))


def _draw_epoch_accuracies(axes: Axes, training: TrainingRun) -> None:
    accuracies = [_percent(each.accuracy) for each in training.epochs]
    _curves(axes, accuracies, [_percent(each.val_accuracy) for each in training.epochs], training.first_epoch)
    svg.name_axis(axes, "accuracy, %")


def _draw_rate(axes: Axes, training: TrainingRun) -> None:
    rates = np.asarray(training.learning_rate_per_step)
    marker = "o" if len(rates) == 1 else None  # a single point has no line
    steps = _ends_of_updates(training, len(rates))
    axes.plot(*drawing.thin(steps, rates), color=svg.INK, linewidth=1.5, marker=marker, gid=".rate")
    axes.set_ylim(bottom=0)
    svg.name_axis(axes, "learning rate")


def _draw_momentum(axes: Axes, training: TrainingRun, momentum: list[float]) -> None:
    steps = _ends_of_updates(training, len(momentum))
    axes.plot(*drawing.thin(steps, np.asarray(momentum)), color=svg.INK, linewidth=1, gid=".momentum")
    svg.name_axis(axes, "momentum")


def _draw_losses(axes: Axes, training: TrainingRun) -> None:
    losses, summed_up = np.asarray(training.loss_per_step, dtype=float), windows(training)
    shown = losses[np.isfinite(losses)]
    if summed_up:
        axes.fill_between(
            summed_up.middles, summed_up.low, summed_up.high, color=svg.TRAINING, alpha=0.2, linewidth=0, gid=".band"
        )
        axes.plot(summed_up.middles, summed_up.medians, color=svg.TRAINING, linewidth=0.8, alpha=0.7, gid=".median")
        shown = np.concatenate([summed_up.low, summed_up.high])
    elif len(losses):
        drawing.dots(axes, *drawing.thin(_ends_of_updates(training, len(losses)), losses), svg.TRAINING)
    validation = [each.val_loss for each in training.epochs]
    _curves(axes, [each.loss for each in training.epochs], validation, training.first_epoch)
    known = [*shown[np.isfinite(shown)].tolist(), *_epoch_losses(training.epochs)]
    if known:
        top = loss_limit(training)
        drawing.limit(axes, min(known), max(known) if top is None else top)
    svg.name_axis(axes, "loss")


def _ends_of_updates(training: TrainingRun, updates: int) -> np.ndarray:
    """The end of each update, in epochs."""
    return _epochs_before(training) + np.arange(1, updates + 1) / training.steps_per_epoch


def _epochs_before(training: TrainingRun) -> int:
    return training.first_epoch - 1


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


def _curves(axes: Axes, training: Sequence[float | None], validation: Sequence[float | None], first: int) -> None:
    """Draws training and validation over epochs from `first` on, with their names at the ends of their lines."""
    ends: list[tuple[float, str, str]] = []
    for curve, name, colour, text_colour in (
        (training, "training", svg.TRAINING, svg.TRAINING_TEXT),
        (validation, "validation", svg.VALIDATION, svg.VALIDATION_TEXT),
    ):
        heights = np.array(curve, dtype=float)
        if not np.isfinite(heights).any():
            continue
        marker = "o" if len(heights) <= _MARKED_EPOCHS else None
        epochs = np.arange(first, first + len(heights))
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
    """Returns how far to move two labels apart, in pixels, so that they do not overlap."""
    if len(heights) < 2:
        return [0.0] * len(heights)
    low, high = axes.get_ylim()
    apart = (heights[0] - heights[1]) / (high - low) * axes.get_window_extent().height
    push = max(0.0, 15 - abs(apart)) / 2
    return [push, -push] if apart >= 0 else [-push, push]
