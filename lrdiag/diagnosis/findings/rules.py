"""Findings: rules over the facts of a run, each with its threshold, its reason and what to do.

A rule is a function of the `Diagnosis` so far that returns one `Finding` or `None`. `RULES` is the whole list.
"""

from __future__ import annotations

from collections.abc import Callable

from lrdiag.formats import percent, plural
from lrdiag.record.facts import Diagnosis, Finding

OVERFITTING_GAP = 0.05  # training accuracy above validation accuracy in the last epoch
WEAK_RECALL_GAP = 0.15  # recall of the worst class below the accuracy
PAIR_SHARE = 0.10  # of a class's images taken for one other class

_ORDER = {"error": 0, "warning": 1, "note": 2}


def find(diagnosis: Diagnosis) -> list[Finding]:
    """Applies every rule, adds what was found before; the gravest first."""
    found = [finding for rule in RULES if (finding := rule(diagnosis))]
    return sorted([*diagnosis.findings, *found], key=lambda finding: _ORDER[finding.severity])


def training_stopped(diagnosis: Diagnosis) -> Finding | None:
    """Training did not run to its end: nothing else on the page can be taken at face value."""
    training = diagnosis.training
    if training is None or training.stop_reason is None:
        return None
    done = f"{len(training.epochs):,} of {training.epochs_planned:,} epochs were completed"
    if training.interrupted:
        return Finding(
            "training-interrupted",
            "warning",
            f"Training was {training.stop_reason}.",
            f"{done}. The figures below are those of the network as it was then.",
            "Train to the end before you judge the network by this page.",
        )
    return Finding(
        "training-stopped",
        "error",
        f"Training stopped early: {training.stop_reason}.",
        f"{done}. The figures below are those of the network as it was at the beginning of that epoch.",
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


def loss_mismatch(from_logits: bool | None, returns_probabilities: bool) -> list[Finding]:
    """The loss that a model was compiled with takes other numbers than the model returns.

    Args:
        from_logits: Whether the loss takes logits; `None` where that is not known.
        returns_probabilities: Whether the model ends in a softmax or sigmoid.
    """
    if from_logits is None or from_logits != returns_probabilities:
        return []
    returned, taken = ("probabilities", "logits") if returns_probabilities else ("logits", "probabilities")
    return [
        Finding(
            "loss-mismatch",
            "error",
            f"The model returns {returned}, and its loss was told to take {taken}.",
            f"It was compiled with from_logits={from_logits}. Such a model trains badly or not at all.",
            f"Compile it with from_logits={not from_logits}, and train it again.",
        )
    ]


def not_finite(diagnosis: Diagnosis) -> Finding | None:
    """The network returned what is no number, or one without bounds."""
    if diagnosis.test.loss is not None:
        return None
    spoilt = sum(mistake.confidence is None for mistake in diagnosis.misclassified.items)
    return Finding(
        "not-finite",
        "error",
        "The scores of the network are not finite.",
        f"The mean loss is not, nor is the confidence in {plural(spoilt, 'mistake')}.",
        "Its training has diverged, or its weights are spoilt: train it anew with a lower learning rate.",
    )


def at_chance(diagnosis: Diagnosis) -> Finding | None:
    """The network knows nothing of these images; most often they reach it scaled otherwise than in training."""
    score, dataset = diagnosis.test, diagnosis.dataset
    commonest = max(range(len(dataset.classes)), key=dataset.test_counts.__getitem__)
    share = dataset.test_counts[commonest] / score.size
    if diagnosis.test.loss is None:  # that is said already
        return None
    if score.accuracy > share or score.accuracy == 1:  # of one class alone, recognising all is no more than its share
        return None
    low, high = diagnosis.value_range
    return Finding(
        "at-chance",
        "error",
        f"The network does no better than calling everything “{dataset.classes[commonest]}”.",
        f"{percent(score.accuracy)} of the images are recognised, and {percent(share)} are of that class. The values "
        f"that the network was given lie between {low:.4g} and {high:.4g}.",
        "Give it the images as in training: pixels of 0–255 if it scales them itself, else scaled as they were then; "
        "and compare the order of the classes. Otherwise it has not learnt.",
    )


def skipped_files(diagnosis: Diagnosis) -> Finding | None:
    """Some files of the data could not be read."""
    skipped = diagnosis.dataset.skipped
    if not skipped:
        return None
    return Finding(
        "skipped-files",
        "warning",
        f"{plural(len(skipped), 'file')} could not be read and {'was' if len(skipped) == 1 else 'were'} left out.",
        f"The first: {skipped[0].file}: {skipped[0].reason}.",
        "Replace or remove them; the section on the data names them all.",
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
    last = diagnosis.training.epochs[-1] if diagnosis.training and diagnosis.training.epochs else None
    if last is None or last.val_accuracy is None or last.accuracy is None:
        return None
    if last.accuracy - last.val_accuracy <= OVERFITTING_GAP:
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
        f"{plural(worst.count, 'image')}, {percent(worst.share)} of the class.",
        "Compare their heatmaps below: do they show the object or the background?",
    )


RULES: tuple[Callable[[Diagnosis], Finding | None], ...] = (
    training_stopped,
    stand_in_data,
    not_finite,
    at_chance,
    skipped_files,
    no_heatmaps,
    no_range_test,
    overfitting,
    weakest_class,
    confused_classes,
)
