"""Findings: rules over the facts of a run, each with its threshold, its reason and what to do.

A rule is a function of the `Diagnosis` so far that returns one `Finding` or `None`. `RULES` is the whole list.
"""

from __future__ import annotations

from collections.abc import Callable

from lrdiag.formats import percent
from lrdiag.records import Diagnosis, Finding

OVERFITTING_GAP = 0.05  # training accuracy above validation accuracy in the last epoch
WEAK_RECALL_GAP = 0.15  # recall of the worst class below the accuracy
PAIR_SHARE = 0.10  # of a class's images taken for one other class

_ORDER = {"error": 0, "warning": 1, "note": 2}


def find(diagnosis: Diagnosis) -> list[Finding]:
    """Applies every rule; the gravest first."""
    found = [finding for rule in RULES if (finding := rule(diagnosis))]
    return sorted(found, key=lambda finding: _ORDER[finding.severity])


def training_stopped(diagnosis: Diagnosis) -> Finding | None:
    """Training did not run to its end: nothing else on the page can be taken at face value."""
    training = diagnosis.training
    if training.stop_reason is None:
        return None
    planned = training.steps_per_epoch * training.epochs_planned
    return Finding(
        "training-stopped",
        "error",
        f"Training stopped early: {training.stop_reason}.",
        f"{len(training.learning_rate_per_step):,} of {planned:,} steps were made. "
        "The figures below are those of the network as it was at the beginning of that epoch.",
        "Lower the learning rate (--learning-rate), or let the range test choose it (--learning-rate auto).",
    )


def stand_in_data(diagnosis: Diagnosis) -> Finding | None:
    """The data that was wanted could not be had."""
    if diagnosis.dataset.fallback is None:
        return None
    return Finding(
        "stand-in-data",
        "error",
        f"This is not CIFAR-10: the {diagnosis.dataset.name} data stand in for it.",
        diagnosis.dataset.fallback,
        "Put CIFAR-10 into a folder and name it with --data-dir, or ask for the digits with --data digits.",
    )


def no_heatmaps(diagnosis: Diagnosis) -> Finding | None:
    """The network has no feature map to explain."""
    if diagnosis.heatmaps.unavailable is None:
        return None
    return Finding(
        "no-heatmaps",
        "warning",
        "The misclassified images have no heatmaps.",
        diagnosis.heatmaps.unavailable,
        "Use a network with convolutions if you want to see where it looks.",
    )


def no_range_test(diagnosis: Diagnosis) -> Finding | None:
    """The range test gave no rate, so a customary one was used."""
    if diagnosis.range_test_note is None or diagnosis.range_test is None:
        return None
    return Finding(
        "no-suggestion",
        "warning",
        "The range test gave no learning rate.",
        diagnosis.range_test_note,
        "Give the rate or its boundaries with --learning-rate.",
    )


def overfitting(diagnosis: Diagnosis) -> Finding | None:
    """The network knows its training images much better than others."""
    last = diagnosis.training.epochs[-1] if diagnosis.training.epochs else None
    if last is None or last.val_accuracy is None or last.accuracy - last.val_accuracy <= OVERFITTING_GAP:
        return None
    return Finding(
        "overfitting",
        "warning",
        f"The network overfits: training accuracy is {(last.accuracy - last.val_accuracy) * 100:.1f} points above "
        "validation accuracy.",
        f"In the last epoch {percent(last.accuracy)} against {percent(last.val_accuracy)}; more than "
        f"{OVERFITTING_GAP * 100:.0f} points is called overfitting here.",
        "Augment more (--augment flip,crop,erase), train for fewer epochs, or gather more images.",
    )


def weakest_class(diagnosis: Diagnosis) -> Finding | None:
    """One class is found far less often than the rest."""
    known = [each for each in diagnosis.per_class if each.recall is not None]
    worst = min(known, key=lambda each: each.recall or 0.0)
    if diagnosis.test.accuracy - (worst.recall or 0.0) <= WEAK_RECALL_GAP:
        return None
    return Finding(
        "weak-class",
        "warning",
        f"“{worst.name}” is the weakest class.",
        f"{percent(worst.recall)} of its {worst.support:,} images are recognised, "
        f"against {percent(diagnosis.test.accuracy)} of all.",
        "Look at its mistakes below; add or clean training images of this class.",
    )


def confused_classes(diagnosis: Diagnosis) -> Finding | None:
    """One class is often taken for one other."""
    worst = max(diagnosis.confused_pairs, key=lambda pair: pair.share, default=None)
    if worst is None or worst.share <= PAIR_SHARE:
        return None
    names = diagnosis.dataset.classes
    return Finding(
        "confused-pair",
        "note",
        f"“{names[worst.true]}” is often taken for “{names[worst.predicted]}”.",
        f"{worst.count:,} images, {percent(worst.share)} of the class.",
        "Compare their heatmaps below: do they show the object or the background?",
    )


RULES: tuple[Callable[[Diagnosis], Finding | None], ...] = (
    training_stopped,
    stand_in_data,
    no_heatmaps,
    no_range_test,
    overfitting,
    weakest_class,
    confused_classes,
)
