"""Rules about the course of training: its losses, its updates, and its best epoch."""

from __future__ import annotations

from math import ceil, log

import numpy as np

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed, option
from lrdiag.diagnosis.findings.label_errors import largest_share
from lrdiag.diagnosis.findings.predictions import FEWEST_IMAGES, chance
from lrdiag.diagnosis.findings.training import epochs_of_training
from lrdiag.formats import count, duration, loss, percent, plural
from lrdiag.record.facts import TrainingRun

SMOOTHED_IMAGES = 32
"""Images over which the loss of steps is averaged, so that one image of a small batch does not decide."""
ONE_CLASS = 0.8
"""Share of the images in the most frequent class, from which on the accuracy does not tell whether a model learns."""
FEW_UPDATES = 200
"""Updates of a run in which the size of the batches matters."""
STILL_FALLING = 0.95
"""Validation loss of the last epoch, relative to the one before, at most, if training ended too early."""
LEARNT = 0.8
"""Cohen's kappa on validation images from which on few updates were enough."""
LONG_PAST = 3
"""Epochs after the best one."""
WORSE = 0.02
"""Loss of validation accuracy since the best epoch that is more than the usual change from epoch to epoch."""


def unstable_loss(evidence: Evidence, threshold: float) -> Answer:
    """The loss rose to more than `threshold` times its start."""
    training = given(evidence.training)
    losses = np.array([np.nan if each is None else each for each in training.loss_per_step])
    smooth = _smoothed(losses, evidence)
    if not np.isfinite(smooth).any():
        return NotChecked("the loss of the steps was not recorded")
    start = _start(evidence, smooth)
    if start <= 0:
        return NotChecked("the loss is not positive")
    peak = float(np.nanmax(smooth))
    ratio = peak / start
    if ratio <= threshold:
        return Passed(ratio, threshold)
    step = int(np.flatnonzero(smooth > threshold * start)[0]) + len(losses) - len(smooth)
    epoch, place = divmod(step, training.steps_per_epoch)
    often = int((smooth > threshold * start).sum())
    return Found(
        f"Training was unstable: the loss rose to {ratio:.0f} times its start.",
        f"It rose from {loss(start)} to {loss(peak)}. In epoch {count(training.first_epoch + epoch)}, step "
        f"{count(place + 1)} of {count(training.steps_per_epoch)}, it was above {threshold:g} times its start for the "
        f"first time, and at {plural(often, 'step')} of {count(len(smooth))} altogether.",
        "Lower the learning rate, which `lrdiag.find_lr` suggests, begin with a warm-up, or limit the updates: "
        "`optimizer = keras.optimizers.Adam(rate, global_clipnorm=1.0)`.",
        ratio,
        threshold,
        why="Such updates destroy what the model has learned before, and may leave units that never recover.",
    )


def _smoothed(losses: np.ndarray, evidence: Evidence) -> np.ndarray:
    """Means over at least 32 images, so over one step of a usual batch."""
    data = evidence.training_data
    steps = ceil(SMOOTHED_IMAGES / data.batch_size) if data is not None and data.batch_size else 1
    if len(losses) < steps:
        return np.array([])
    return np.convolve(losses, np.full(steps, 1 / steps), mode="valid")


def _start(evidence: Evidence, smooth: np.ndarray) -> float:
    """The loss at the start, but not below that of a model that knows nothing."""
    data, start = evidence.training_data, evidence.start
    first = float(np.nanmedian(smooth[:5])) if np.isfinite(smooth[:5]).any() else 0.0
    if start is not None and not (data is not None and data.weighted):
        first = start.loss + start.penalty
    compiled, scores = evidence.compiled, evidence.scores
    if compiled is None or scores is None or compiled.kind not in ("sparse", "categorical", "binary"):
        return first
    return max(first, log(2 if compiled.kind == "binary" else max(2, scores.units)))


def not_learning(evidence: Evidence) -> Answer:
    """After training, the model is no better than chance on its training images."""
    sample = given(evidence.train_sample)
    share = largest_share(evidence)
    if share > ONE_CLASS:
        return NotChecked(f"{percent(share)} of the images belong to one class", sample.accuracy, share)
    if sample.accuracy_low > share:
        return Passed(sample.accuracy, share)
    if sample.accuracy_high > (1 + share) / 2:
        return NotChecked(f"{plural(sample.size, 'training image')} are too few", sample.accuracy, share)
    return Found(
        "The model has not learned its training images.",
        f"After training, {percent(sample.accuracy)} of {plural(sample.size, 'training image')} are classified "
        f"correctly in inference mode. {percent(share)} would be if the most frequent class were predicted for all.",
        "Train on a few images first: `model.fit(x[:32], y[:32], epochs=100)`. A model that can't learn them has a "
        "mistake in its layers, its loss or its labels. If it can, use the rate that `lrdiag.find_lr` suggests.",
        sample.accuracy,
        share,
        why="A model that does not even know the images it was trained on has learned nothing.",
    )


def past_best_epoch(evidence: Evidence, threshold: float) -> Answer:
    """The validation loss has risen to more than `threshold` times the lowest one, which is epochs ago."""
    training = given(evidence.training)
    epochs = epochs_of_training(training)
    losses = [float("nan") if epoch.val_loss is None else epoch.val_loss for epoch in epochs]
    if not np.isfinite(losses).any():
        return NotChecked("no validation loss was recorded")
    best = int(np.nanargmin(losses))
    lost, ratio = len(epochs) - 1 - best, losses[-1] / losses[best] if losses[best] > 0 else 1.0
    if lost < LONG_PAST or not ratio > threshold:
        return Passed(ratio, threshold)
    seconds = [each.seconds for each in epochs[best + 1 :] if each.seconds is not None]
    before, after = epochs[best].val_accuracy, epochs[-1].val_accuracy
    worse = before is not None and after is not None and before - after > WORSE
    accuracy = f" Validation accuracy was {percent(before)} then and is {percent(after)} now." if worse else ""
    spent = f", {duration(sum(seconds))} of training," if len(seconds) == lost else ""
    first = training.first_epoch
    return Found(
        f"The best epoch was epoch {count(first + best)} of {count(first + len(epochs) - 1)}: the validation loss has "
        f"risen to {ratio:.1f} times its lowest value since.",
        f"It was {loss(losses[best])} in epoch {count(first + best)} and is {loss(losses[-1])} now. The "
        f"{plural(lost, 'epoch')} after the best one{spent} made it worse.{accuracy}",
        "Keep the weights of the best epoch: `keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)`.",
        ratio,
        threshold,
        why="The weights that training leaves are not the best that it found.",
        severity="warning" if worse else "note",
    )


def too_few_updates(evidence: Evidence, threshold: float) -> Answer:
    """Training ended after fewer than `threshold` updates, or while the model still became better."""
    training = evidence.training
    if training is None or evidence.evaluation is None:
        return _too_few_are_planned(evidence, threshold)
    updates, test = len(training.learning_rate_per_step), evidence.evaluation.test
    if not updates:
        return NotChecked("the steps were not recorded")
    if test.size < FEWEST_IMAGES:
        return NotChecked(f"{plural(test.size, 'test image')} are too few")
    expected, _ = chance(np.asarray(evidence.evaluation.confusion))
    kappa = (test.accuracy - expected) / (1 - expected) if expected < 1 else 0.0
    ended = _was_ended_early(training)
    falls = [name for name, losses in _last_losses(training).items() if losses[1] < STILL_FALLING * losses[0]]
    still_better = "validation loss" in falls or (ended and bool(falls))
    if kappa >= LEARNT or (updates >= threshold and not still_better):
        return Passed(float(updates), threshold)
    if updates < threshold:
        title = f"The model was trained with only {plural(updates, 'update')}: that is too few updates."
    elif ended:
        title = f"{training.ended_by} stopped training too early: the {falls[0]} was still falling."
    else:
        title = "The validation loss was still falling when training ended: too few epochs."
    last = [f"the {name} from {loss(old)} to {loss(new)}" for name, (old, new) in _last_losses(training).items()]
    return Found(
        title,
        f"{plural(len(training.epochs), 'epoch')} of {plural(training.steps_per_epoch, 'step')} were trained, and "
        f"accuracy is {percent(test.accuracy)}." + (f" The last epoch changed {' and '.join(last)}." if last else ""),
        "Let it wait longer: `keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)`."
        if ended
        else _train_longer(evidence, training),
        float(updates),
        threshold,
        why="The model could become more accurate without any other change.",
    )


def still_improves(evidence: Evidence) -> bool:
    """Whether the model still became better when training ended."""
    return evidence.training is not None and isinstance(too_few_updates(evidence, 0), Found)


def _too_few_are_planned(evidence: Evidence, threshold: float) -> Answer:
    planned = None if evidence.rates is None else evidence.rates.updates
    if planned is None:
        return NotChecked("the number of updates is not known")
    if planned >= threshold:
        return Passed(float(planned), threshold)
    return Found(
        f"Only {plural(planned, 'update')} are planned: that is too few updates for most models.",
        "A model that is trained from its start needs some hundreds.",
        "Train for more epochs, `model.fit(..., epochs=...)`, or with smaller batches.",
        float(planned),
        threshold,
        why="The model could become more accurate without any other change.",
    )


def _was_ended_early(training: TrainingRun) -> bool:
    """Whether a callback that stops early left out half of the planned epochs."""
    return training.ended_by == "EarlyStopping" and 2 * len(training.epochs) <= training.epochs_planned


def _last_losses(training: TrainingRun) -> dict[str, tuple[float, float]]:
    """Validation and training loss of the last two epochs that led to the evaluated weights."""
    known = {}
    for name, field in (("validation loss", "val_loss"), ("training loss", "loss")):
        losses = [value for epoch in epochs_of_training(training) if (value := getattr(epoch, field)) is not None]
        if len(losses) > 1:
            known[name] = (losses[-2], losses[-1])
    return known


def _train_longer(evidence: Evidence, training: TrainingRun) -> str:
    epochs = _more_epochs(training)
    if evidence.made_by == "train_and_report":
        return f"Train for more epochs: `{option(evidence, 'epochs')}{' ' if evidence.command else '='}{epochs}`."
    return f"Train for more epochs: `model.fit(..., epochs={epochs})`."


def _more_epochs(training: TrainingRun) -> int:
    """Three times as many epochs, or as many as 300 updates take."""
    return max(3 * len(training.epochs), ceil(300 / training.steps_per_epoch))


def large_batches(evidence: Evidence, threshold: float) -> Answer:
    """A batch has more than the share `threshold` of the training images, so that there are few updates."""
    data = given(evidence.training_data)
    if data.size is None or data.batch_size is None:
        return NotChecked("the number of training images is not known")
    share = data.batch_size / data.size
    updates = _planned_updates(evidence)
    if share <= threshold:
        return Passed(share, threshold)
    if updates is None:
        return NotChecked("the number of updates is not known", share, threshold)
    if updates >= FEW_UPDATES:
        return Passed(share, threshold)
    return Found(
        f"The batches are too large: a batch of {count(data.batch_size)} has {percent(share)} of the "
        f"{plural(data.size, 'training image')}.",
        f"An epoch has {plural(ceil(1 / share), 'update')}, and the whole training run has {count(updates)}.",
        "Use batches of 32 images: `model.fit(..., batch_size=32)`, or train for many more epochs.",
        share,
        threshold,
        why="The weights change once per batch, so a model with few updates stays near its start.",
    )


def _planned_updates(evidence: Evidence) -> int | None:
    training, rates = evidence.training, evidence.rates
    if training is not None and training.epochs:
        return training.steps_per_epoch * max(len(training.epochs), training.epochs_planned)
    return None if rates is None else rates.updates
