"""The training run, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from markupsafe import Markup

from lrdiag import formats
from lrdiag.record.facts import Epoch, Run, TimeSpent, TrainingRun
from lrdiag.report.charts.cache import drawn
from lrdiag.report.charts.time import time_bar
from lrdiag.report.charts.training import loss_limit, training_chart, windows


@dataclass(frozen=True)
class Kind:
    """What a part of the time was spent on.

    Attributes:
        key: Its key in the style of the page.
        name: In words.
        seconds: The time.
        share: Its share of the whole time.
    """

    key: str
    name: str
    seconds: float
    share: float


@dataclass(frozen=True)
class Time:
    """Where the time went.

    Attributes:
        bar: One bar, divided by kinds.
        kinds: The kinds in the order of the bar.
        total: The whole time, in seconds.
    """

    bar: Markup
    kinds: list[Kind]
    total: float


@dataclass(frozen=True)
class Training:
    """The training run in words, as a chart and as a table.

    Attributes:
        sentence: The result.
        remarks: Why training ended early, which weights were evaluated, and what the record does not contain.
        recipe: Optimizer and schedule, in words.
        chart: Loss, accuracy and learning rate over epochs; `None` if no step was made.
        batches: How the losses of the batches are drawn, in words, or `None` if they were not recorded.
        cut: The loss at which the axis ends, or `None` if it shows all losses that are drawn.
        epochs: The figures of each epoch.
        first: Number of the first of them, counted from 1.
        best: Numbers of those with the best validation accuracy.
        has_losses: Whether the losses of the epochs are known. Without it, a missing loss was not finite.
        time: Where the time went, or `None` if that was not recorded.
    """

    sentence: str
    remarks: list[str]
    recipe: str
    chart: Markup | None
    batches: str | None
    cut: float | None
    epochs: list[Epoch]
    first: int
    best: list[int]
    has_losses: bool
    time: Time | None


def build(run: Run) -> Training | None:
    """Computes the content of the section; `None` if the training run is not known."""
    training = run.diagnosis.training
    if training is None:
        return None
    best = best_epoch(training.epochs, training.first_epoch)
    has_chart = training.epochs or training.learning_rate_per_step
    return Training(
        sentence=_sentence(training, best),
        remarks=_remarks(training, best),
        recipe="; ".join(filter(None, (training.optimizer, training.schedule))),
        chart=drawn("training", (training, best), lambda: training_chart(training, best)) if has_chart else None,
        batches=_batches(training),
        cut=loss_limit(training),
        epochs=training.epochs,
        first=training.first_epoch,
        best=_equally_good(training, best),
        has_losses=_has_losses(training),
        time=_time(training.time) if training.time and training.time.total else None,
    )


def _time(spent: TimeSpent) -> Time:
    kinds = list(_kinds(spent))
    words = ", ".join(f"{each.name} {formats.duration(each.seconds)}" for each in kinds)
    label = f"Where the {formats.duration(spent.total)} of training went: {words}"
    return Time(time_bar([(each.key, each.share) for each in kinds], label), kinds, spent.total)


def _kinds(spent: TimeSpent) -> Iterator[Kind]:
    steps = "steps, with waiting for data" if spent.waiting is None else "steps"
    for key, name, seconds in (
        ("computing", steps, spent.computing),
        ("compiling", "steps that were compiled", spent.compiling),
        ("waiting", "waiting for data", spent.waiting or 0.0),
        ("validation", "validation", spent.validation),
        ("callbacks", "callbacks", spent.callbacks),
        ("idle", "pauses between epochs", spent.idle),
    ):
        if seconds:
            yield Kind(key, name, seconds, seconds / spent.total)


def best_epoch(epochs: list[Epoch], first: int = 1) -> int | None:
    """The epoch with the highest validation accuracy; the first of equals. `first` is the number of the first epoch."""
    numbered = enumerate(epochs, first)
    accuracies = {number: each.val_accuracy for number, each in numbered if each.val_accuracy is not None}
    return max(accuracies, key=accuracies.__getitem__, default=None)


def _equally_good(training: TrainingRun, best: int | None) -> list[int]:
    """The numbers of all epochs with the best validation accuracy."""
    if best is None:
        return []
    highest = training.epochs[best - training.first_epoch].val_accuracy
    return [number for number, each in enumerate(training.epochs, training.first_epoch) if each.val_accuracy == highest]


def _has_losses(training: TrainingRun) -> bool:
    """Whether the losses were recorded. Keras logs no loss for an output that has none of its own."""
    return training.output is None or any(each.loss is not None for each in training.epochs)


def _remarks(training: TrainingRun, best: int | None) -> list[str]:
    last = training.first_epoch + len(training.epochs) - 1
    remarks = []
    if training.stages:
        remarks.append(_stages(training))
    if training.output is not None:
        remarks.append(f"Loss and accuracy are those of the output {formats.short(training.output)}.")
    if training.stop_reason is None and len(training.epochs) < training.epochs_planned:
        done = f"{formats.count(len(training.epochs))} of {formats.plural(training.epochs_planned, 'planned epoch')}"
        ended = f"{training.ended_by[:1].upper()}{training.ended_by[1:]} ended training after {done}."
        remarks.append(ended if training.ended_by else f"Training ended after {done}.")
    if training.weights and (training.weights_epoch != last or best not in (None, last)):
        remarks.append(f"The weights are {training.weights}.")
    return [*remarks, *_before_the_record(training)]


def _stages(training: TrainingRun) -> str:
    """The sizes of the images, in words: "16 × 16 until epoch 0.9, 24 × 24 until epoch 1.8, then 32 × 32 pixels"."""
    *earlier, last = training.stages
    ends = accumulate(stage.steps / training.steps_per_epoch for stage in earlier)
    parts = [f"{stage.width} × {stage.height} until epoch {end:.2g}" for stage, end in zip(earlier, ends, strict=True)]
    sizes = f"{', '.join(parts)}, then {last.width} × {last.height} pixels"
    return f"Training began on smaller images: {sizes}. The validation images of an epoch have the size at its end."


def _before_the_record(training: TrainingRun) -> list[str]:
    if training.earlier_updates:
        updates = formats.plural(training.earlier_updates, "earlier update")
        return [f"The optimizer had made {updates}, which this section does not show."]
    if training.earlier_updates == 0 and training.first_epoch > 1:
        return [
            f"The optimizer had made no updates before epoch {training.first_epoch}: its state and its schedule began "
            "again there."
        ]
    return []


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
    timed = training.time is not None and training.time.total > 0  # the bar states the time
    took = "" if training.seconds is None or timed else f" in {formats.duration(training.seconds)}"
    end = training.first_epoch + len(training.epochs) - 1
    resumed = "" if training.first_epoch == 1 else f" ({training.first_epoch} to {end})"
    done = f"After {formats.plural(len(training.epochs), 'epoch')}{resumed}{took}"
    if last.accuracy is None and not _has_losses(training):
        return f"{done}: loss and accuracy were not measured."
    if last.accuracy is None:
        validation = "" if last.val_loss is None else f", validation loss {formats.loss(last.val_loss)}"
        return f"{done}: training loss {formats.loss(last.loss)}{validation}. Accuracy was not measured."
    if best is None:
        return f"{done}: training accuracy {formats.percent(last.accuracy)}. Validation accuracy was not measured."
    equals = _equally_good(training, best)
    which = "was the last" if best == end else f"was epoch {best}"
    if len(equals) > 1:
        others = f"epoch {equals[1]}" if len(equals) == 2 else f"{formats.count(len(equals) - 1)} later epochs"
        which = f"was epoch {best}, equalled by {others}"
    return (
        f"{done}: training accuracy {formats.percent(last.accuracy)}, validation accuracy "
        f"{formats.percent(last.val_accuracy)}. The best epoch {which}, with a validation accuracy of "
        f"{formats.percent(training.epochs[best - training.first_epoch].val_accuracy)}."
    )
