"""The training run, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from lrdiag import formats
from lrdiag.record.facts import Epoch, Run, TrainingRun
from lrdiag.report.charts.cache import drawn
from lrdiag.report.charts.training import loss_limit, training_chart, windows


@dataclass(frozen=True)
class Training:
    """The training run in words, as a chart and as a table.

    Attributes:
        sentence: The result.
        recipe: Optimizer and schedule, in words.
        chart: Loss, accuracy and learning rate over epochs; `None` if no step was made.
        batches: How the losses of the batches are drawn, in words, or `None` if they were not recorded.
        cut: The loss at which the axis ends, or `None` if it shows all losses that are drawn.
        epochs: The figures of each epoch.
        best: The best of them, counted from 1, or `None`.
    """

    sentence: str
    recipe: str
    chart: Markup | None
    batches: str | None
    cut: float | None
    epochs: list[Epoch]
    best: int | None


def build(run: Run) -> Training | None:
    """Computes the content of the section; `None` if the training run is not known."""
    training = run.diagnosis.training
    if training is None:
        return None
    best = best_epoch(training.epochs)
    has_chart = training.epochs or training.learning_rate_per_step
    return Training(
        sentence=_sentence(training, best),
        recipe="; ".join(filter(None, (training.optimizer, training.schedule))),
        chart=drawn("training", (training, best), lambda: training_chart(training, best)) if has_chart else None,
        batches=_batches(training),
        cut=loss_limit(training),
        epochs=training.epochs,
        best=best,
    )


def best_epoch(epochs: list[Epoch]) -> int | None:
    """The epoch with the highest validation accuracy, counted from 1; the first of equals."""
    accuracies = {number: each.val_accuracy for number, each in enumerate(epochs, 1) if each.val_accuracy is not None}
    return max(accuracies, key=accuracies.__getitem__, default=None)


def _batches(training: TrainingRun) -> str | None:
    if not training.loss_per_step:
        return None
    summed_up = windows(training)
    if summed_up is None:
        return "Each faint point is the loss of one batch."
    return (
        f"The thin line is the median loss of {summed_up.size} consecutive batches, the band runs from their 10th to "
        "their 90th percentile."
    )


def _sentence(training: TrainingRun, best: int | None) -> str:
    if not training.epochs:
        return f"None of {formats.plural(training.epochs_planned, 'epoch')} was completed."
    last = training.epochs[-1]
    took = "" if training.seconds is None else f" in {formats.duration(training.seconds)}"
    done = f"After {formats.plural(len(training.epochs), 'epoch')}{took}"
    if last.accuracy is None:
        validation = "" if last.val_loss is None else f", validation loss {formats.loss(last.val_loss)}"
        return f"{done}: training loss {formats.loss(last.loss)}{validation}. Accuracy was not measured."
    if best is None:
        return f"{done}: training accuracy {formats.percent(last.accuracy)}. Validation accuracy was not measured."
    which = "the last" if best == len(training.epochs) else f"epoch {best}"
    return (
        f"{done}: training accuracy {formats.percent(last.accuracy)}, validation accuracy "
        f"{formats.percent(last.val_accuracy)}. The best epoch was {which}, with a validation accuracy of "
        f"{formats.percent(training.epochs[best - 1].val_accuracy)}."
    )
