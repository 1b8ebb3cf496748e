"""Rules about the training run."""

from __future__ import annotations

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Origin, Passed, option
from lrdiag.formats import count, percent, plural, short
from lrdiag.intervals import newcombe, wilson
from lrdiag.record.facts import Diagnosis, Epoch, NotFinite, TrainingRun, TrainingSample

HALF = 0.5
"""Factor of the threshold of overfitting if the validation loss, or the accuracy while training, confirms it."""
RISEN_LOSS = 1.1
"""Last validation loss, divided by the lowest, from which on it has risen."""


def training_stopped(evidence: Evidence) -> Answer:
    """A loss or a weight was NaN or infinite, or training stopped early because of another fault."""
    training = given(evidence.training)
    if training.stop_reason is not None and not training.interrupted:
        return Found(
            f"Training stopped early: {training.stop_reason}.",
            f"{_completed(training)} The report has the figures of the model at the start of the failed epoch.",
            _against_divergence(evidence),
            why="Training is not complete, so these figures are not those of the model that you wanted.",
        )
    if training.not_finite is None:
        return _weights(evidence, training)
    return Found(
        f"{_became_not_finite(training.not_finite, training.steps_per_epoch)}.",
        f"{_completed(training)} {_weights_evaluated(training)}",
        f"{_against_divergence(evidence)} If the loss is not finite from the start, check images and labels for NaN.",
        why="Updates that follow such a loss cannot be trusted.",
    )


def _weights(evidence: Evidence, training: TrainingRun) -> Answer:
    """The answer if every loss was finite, which it can be although weights are not."""
    broken = next((epoch for epoch in evidence.epochs or () if epoch.not_finite), None)
    if broken is None:
        return Passed()
    name = short(broken.not_finite[0])
    more = len(broken.not_finite) - 1
    return Found(
        f"Weights became NaN or infinite in epoch {count(broken.epoch)} although the loss stayed finite: {name}"
        f"{f' and {count(more)} more' if more else ''}.",
        f"{_completed(training)} {_weights_evaluated(training)}",
        f"{_against_divergence(evidence)} Check the images for NaN: `np.isfinite(x).all()`.",
        why="A ReLU turns NaN into 0 on some devices, so the loss hides that the layer is lost.",
    )


def _became_not_finite(found: NotFinite, steps_per_epoch: int) -> str:
    loss = "The loss" if found.loss == "loss" else "The validation loss"
    step = "" if found.step is None else f", step {count(found.step)} of {count(steps_per_epoch)}"
    return f"{loss} became {found.value} in epoch {count(found.epoch)}{step}"


def _weights_evaluated(training: TrainingRun) -> str:
    if training.weights:
        return f"The weights are {training.weights}."
    return "Which weights were evaluated is not known."


def _against_divergence(origin: Origin) -> str:
    rate = option(origin, "learning-rate")
    if origin.made_by == "train_and_report":
        return f"Lower the learning rate ({rate}), or let the range test choose it ({rate} auto)."
    return "Lower the learning rate. lrdiag.find_lr suggests one."


def training_interrupted(evidence: Evidence) -> Answer:
    """A person stopped the training run."""
    training = given(evidence.training)
    if training.stop_reason is None or not training.interrupted:
        return Passed()
    return Found(
        f"Training was {training.stop_reason}.",
        f"{_completed(training)} The report has the figures of the model at that moment.",
        "Train to the end before you draw conclusions from this page.",
        why="A model that is trained to the end has other figures.",
    )


def lagging_statistics(evidence: Evidence, threshold: float) -> Answer:
    """The model is less accurate on its training images in inference mode than while training, by `threshold`."""
    training, sample, facts = given(evidence.training), given(evidence.train_sample), evidence.facts
    accuracies = [epoch.accuracy for epoch in _epochs_of_the_weights(facts, training) if epoch.accuracy is not None]
    if not accuracies:
        return NotChecked("accuracy while training was not recorded")
    while_training = min(accuracies)
    gap = while_training - sample.accuracy
    if gap <= threshold:
        return Passed(gap, threshold)
    if while_training <= sample.accuracy_high:
        return NotChecked(f"{plural(sample.size, 'training image')} are too few", gap, threshold)
    cause, instead = _what_lags(evidence)
    return Found(
        f"On training images, the model is {_points(gap)} points less accurate in inference mode than while training.",
        f"Accuracy was {percent(while_training)} while training and is {percent(sample.accuracy)} on "
        f"{plural(sample.size, 'training image')} in inference mode. {cause}",
        f"Train for more epochs{_named(facts, 'epochs')}, or {instead}.",
        gap,
        threshold,
        why="The model is much worse in use than while training. This is not overfitting.",
    )


def _what_lags(evidence: Evidence) -> tuple[str, str]:
    """What makes a model worse in inference mode, and what to do beside training for more epochs."""
    if evidence.compiled is not None and evidence.compiled.optimizer.averages:
        return (
            "The optimizer replaces the weights by their moving averages, which lag behind after a short training run.",
            "lower the momentum of the averages: `ema_momentum=0.9`",
        )
    if evidence.layers is None or any(layer.momentum is not None for layer in evidence.layers):
        return (
            "This is typical of batch normalization after a short training run: inference uses moving averages, which "
            "lag behind the weights.",
            "lower the momentum of the batch normalization layers (0.9 instead of 0.99)",
        )
    return (
        "The model has no batch normalization, so one of its layers computes something else in training mode.",
        "look for a layer whose `call` depends on `training`",
    )


def _epochs_of_the_weights(facts: Diagnosis, training: TrainingRun) -> list[Epoch]:
    """The epochs that the evaluated weights may come from: the last one, or the best one if a callback restored it."""
    epochs = training.epochs
    if not epochs or facts.made_by == "train_and_report" or training.weights_epoch is not None:
        return epochs_of_training(training)[-1:]
    most_accurate = max(epochs, key=lambda epoch: -1.0 if epoch.val_accuracy is None else epoch.val_accuracy)
    lowest_loss = min(epochs, key=lambda epoch: float("inf") if epoch.val_loss is None else epoch.val_loss)
    return [epochs[-1], most_accurate, lowest_loss]


def epochs_of_training(training: TrainingRun) -> list[Epoch]:
    """The epochs that led to the evaluated weights: all, unless a callback restored those of an earlier epoch."""
    if training.weights_epoch is None:
        return training.epochs
    return training.epochs[: training.weights_epoch - training.first_epoch + 1]


def overfitting(evidence: Evidence, threshold: float) -> Answer:
    """The model is much more accurate on its training images than on others: by more than `threshold`.

    Small sets always leave a gap. Half of it counts if the validation loss has risen since its minimum, or if the
    accuracy while training is as far above that of validation.
    """
    training = evidence.training
    logged = _logged_accuracies(training) if training else None
    confirmed = logged is not None and logged[0] - logged[1] > HALF * threshold
    if (training and _loss_has_risen(training)) or (evidence.train_sample and confirmed):
        threshold *= HALF
    if evidence.train_sample is not None:
        return _measured_gap(evidence.facts, evidence.train_sample, threshold)
    if training is None or logged is None:
        return NotChecked(
            "the training images were not evaluated, and no training and validation accuracy was recorded"
        )
    return _gap_in_the_history(evidence.facts, training, logged, threshold)


def _logged_accuracies(training: TrainingRun) -> tuple[float, float] | None:
    """Training and validation accuracy of the epoch of the evaluated weights, as they were recorded."""
    last = epochs_of_training(training)[-1:]
    if not last or last[0].accuracy is None or last[0].val_accuracy is None:
        return None
    return last[0].accuracy, last[0].val_accuracy


def _loss_has_risen(training: TrainingRun) -> bool:
    """Whether the validation loss has risen since its minimum."""
    losses = [epoch.val_loss for epoch in epochs_of_training(training) if epoch.val_loss is not None]
    return bool(losses) and losses[-1] > RISEN_LOSS * min(losses)


def _measured_gap(facts: Diagnosis, sample: TrainingSample, threshold: float) -> Answer:
    test = facts.test
    gap = sample.accuracy - test.accuracy
    if gap <= threshold:
        return Passed(gap, threshold)
    low, high = newcombe(
        (round(sample.accuracy * sample.size), sample.size), (round(test.accuracy * test.size), test.size)
    )
    if low <= 0:
        return NotChecked(
            f"{plural(sample.size, 'training image')} and {plural(test.size, 'test image')} are too few",
            gap,
            threshold,
        )
    return Found(
        f"The model overfits: it is {_points(gap)} points more accurate on training images than on test images.",
        f"{percent(sample.accuracy)} of {plural(sample.size, 'training image')} and {percent(test.accuracy)} of "
        f"{plural(test.size, 'test image')} are classified correctly, both in inference mode. The 95\u00a0% interval "
        f"of the difference is {_points(low)} to {_points(high)} points.",
        _against_overfitting(facts),
        gap,
        threshold,
        why="The model has memorised its training images and is less accurate on others.",
    )


def _gap_in_the_history(
    facts: Diagnosis, training: TrainingRun, accuracies: tuple[float, float], threshold: float
) -> Answer:
    accuracy, val_accuracy = accuracies
    gap, size = accuracy - val_accuracy, facts.dataset.validation_size
    if gap <= threshold:
        return Passed(gap, threshold)
    if size and accuracy <= wilson(round(val_accuracy * size), size)[1]:
        return NotChecked(f"{plural(size, 'validation image')} are too few", gap, threshold)
    return Found(
        f"Training accuracy is {_points(gap)} points above validation accuracy.",
        f"{_when(training)} they were {percent(accuracy)} and {percent(val_accuracy)}. Either the model overfits, or "
        "it behaves differently in inference mode: training accuracy is measured while training, when dropout is "
        "active and batch normalization uses the statistics of the batch.",
        "Evaluate the model on its training images. If it reaches the training accuracy, it overfits: "
        f"{_against_overfitting(facts)} If it does not, the moving averages of batch normalization lag: train longer.",
        gap,
        threshold,
        why="Accuracy on training images says little about other images.",
    )


def _when(training: TrainingRun) -> str:
    is_last = len(epochs_of_training(training)) == len(training.epochs)
    return "In the last epoch" if is_last else f"In epoch {training.weights_epoch}, whose weights were evaluated,"


def _against_overfitting(facts: Diagnosis) -> str:
    return (
        f"Use more augmentation{_named(facts, 'augment')}, train for fewer epochs{_named(facts, 'epochs')}, "
        "or add training images."
    )


def _named(facts: Diagnosis, setting: str) -> str:
    """The name of a setting in brackets, if lrdiag trained the model and so has this setting."""
    return f" ({option(facts, setting)})" if facts.made_by == "train_and_report" else ""


def _points(difference: float) -> str:
    return f"{100 * difference:.1f}"


def _completed(training: TrainingRun) -> str:
    return f"Completed: {count(len(training.epochs))} of {plural(training.epochs_planned, 'epoch')}."
