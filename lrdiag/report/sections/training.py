"""How training went, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from lrdiag import formats
from lrdiag.record import folder as run_folder
from lrdiag.record.facts import Epoch, Run, TrainingRun
from lrdiag.report.charts.cache import drawn_once
from lrdiag.report.charts.training import training_chart


@dataclass(frozen=True)
class Training:
    """Training in words, as charts and as a table.

    Attributes:
        sentence: How it went.
        recipe: Optimizer and schedule, in words.
        chart: Loss, accuracy and rate over epochs; `None` where not one step was taken.
        by_step: Whether the losses of single batches were recorded.
        epochs: The figures of each epoch.
        best: The best of them, counted from 1, or `None`.
    """

    sentence: str
    recipe: str
    chart: Markup | None
    by_step: bool
    epochs: list[Epoch]
    best: int | None


def build(run: Run) -> Training | None:
    """Draws the training run; `None` where it is not known."""
    training = run.diagnosis.training
    if training is None:
        return None
    best = best_epoch(training.epochs)
    return Training(
        sentence=_sentence(training, best),
        recipe="; ".join(filter(None, (training.optimizer, training.schedule))),
        chart=_chart(run, training, best) if training.epochs or training.learning_rate_per_step else None,
        by_step=bool(training.loss_per_step),
        epochs=training.epochs,
        best=best,
    )


def _chart(run: Run, training: TrainingRun, best: int | None) -> Markup:
    return drawn_once(run, run_folder.TRAINING_CHART, (training, best), lambda: training_chart(training, best))


def best_epoch(epochs: list[Epoch]) -> int | None:
    """The epoch of the highest validation accuracy, counted from 1; the first of equals."""
    accuracies = {number: each.val_accuracy for number, each in enumerate(epochs, 1) if each.val_accuracy is not None}
    return max(accuracies, key=accuracies.__getitem__, default=None)


def _sentence(training: TrainingRun, best: int | None) -> str:
    if not training.epochs:
        return f"Not one of {formats.plural(training.epochs_planned, 'epoch')} was completed."
    last = training.epochs[-1]
    took = "" if training.seconds is None else f" in {formats.duration(training.seconds)}"
    done = f"After {formats.plural(len(training.epochs), 'epoch')}{took}"
    if last.accuracy is None:
        validation = "" if last.val_loss is None else f", validation loss {formats.loss(last.val_loss)}"
        return f"{done}, training loss is {formats.loss(last.loss)}{validation}; accuracy was not measured."
    if best is None:
        return f"{done}, training accuracy is {formats.percent(last.accuracy)}; there was no validation while it ran."
    which = "the last" if best == len(training.epochs) else f"epoch {best}"
    return (
        f"{done}, accuracy is {formats.percent(last.accuracy)} in training and {formats.percent(last.val_accuracy)} in "
        f"validation; {which} was the best epoch, with {formats.percent(training.epochs[best - 1].val_accuracy)}."
    )
