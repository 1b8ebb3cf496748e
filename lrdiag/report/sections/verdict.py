"""The top of the page: what came out, and whether to believe it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.facts import ConfusedPair, Diagnosis, Run, TrainingRun
from lrdiag.report.sections import comparison

_SAID_ANYWAY = ("stand-in-data", "training-stopped")
"""Findings that only repeat what the facts say themselves."""
IMBALANCED = 2
"""How many times the test images of the rarest class the commonest must have for the balanced accuracy to be told."""
MANY_CLASSES = 20
"""From so many classes on, the top-5 accuracy is told."""


@dataclass(frozen=True)
class Caution:
    """Why this run is not what it seems, in a few words and in full."""

    title: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """What a reviewer with one minute needs.

    Attributes:
        sentence: The result as a person would say it.
        cautions: What stands before everything else.
        figures: A few numbers: name, value and what belongs to it.
    """

    sentence: str
    subject: str
    cautions: list[Caution]
    figures: list[tuple[str, str, str]]


def build(run: Run) -> Verdict:
    """What the page opens with."""
    diagnosis = run.diagnosis
    return Verdict(
        sentence=verdict_sentence(diagnosis),
        subject=f"{formats.short(diagnosis.model)}, {formats.plural(diagnosis.parameters, 'parameter')}"
        + (f", on {formats.short(diagnosis.dataset.name)}" if diagnosis.dataset.name else ""),
        cautions=cautions(diagnosis),
        figures=_figures(diagnosis),
    )


def verdict_sentence(diagnosis: Diagnosis) -> str:
    """The result as a person would say it, without a full stop."""
    score = diagnosis.test
    name = f"{formats.short(diagnosis.dataset.name)} " if diagnosis.dataset.name else ""
    result = f"{formats.percent(score.accuracy)} on {formats.plural(score.size, f'{name}test image')}"
    if diagnosis.comparison:
        result = f"{result}, {comparison.headline(diagnosis.comparison)}"
    pair = most_confused(diagnosis.confused_pairs)
    if pair is None:
        return f"{result}; not one mistake"
    first, second = (formats.short(diagnosis.dataset.classes[index]) for index in pair)
    if len(diagnosis.dataset.classes) == 2:
        return f"{result}; {formats.plural(diagnosis.misclassified.count, 'mistake')} between {first} and {second}"
    return f"{result}; {first} and {second} are the most confused pair"


def most_confused(pairs: list[ConfusedPair]) -> tuple[int, int] | None:
    """The two classes that are taken for each other most often, both ways together."""
    both_ways: Counter[tuple[int, int]] = Counter()
    for pair in pairs:
        both_ways[min(pair.true, pair.predicted), max(pair.true, pair.predicted)] += pair.count
    return min(both_ways, key=lambda pair: (-both_ways[pair], pair), default=None)


def cautions(diagnosis: Diagnosis) -> list[Caution]:
    """What must be said first: stand-in data, training cut short, findings that spoil the run."""
    said = []
    training = diagnosis.training
    if diagnosis.dataset.fallback is not None:
        said.append(Caution("Stand-in data", diagnosis.dataset.fallback))
    if training and training.stop_reason is not None:
        done = f"{len(training.epochs)} of {formats.plural(training.epochs_planned, 'epoch')}"
        said.append(Caution(f"Training stopped after {done}", f"{training.stop_reason}."))
    errors = [finding for finding in diagnosis.findings if finding.severity == "error"]
    return said + [Caution("Do not trust this run", each.title) for each in errors if each.code not in _SAID_ANYWAY]


def _figures(diagnosis: Diagnosis) -> list[tuple[str, str, str]]:
    score = diagnosis.test
    # Word joiners keep the interval on one line.
    interval = f"{100 * score.accuracy_low:.1f}\u2060–\u2060{100 * score.accuracy_high:.1f}"
    size = formats.plural(score.size, "test image")
    return [
        ("Accuracy", formats.percent(score.accuracy), f"95\u00a0% interval {interval} on {size}"),
        *_change(diagnosis),
        *_balanced(diagnosis),
        *_top5(diagnosis),
        ("Mistakes", formats.count(diagnosis.misclassified.count), f"of {size}"),
        ("Test loss", formats.loss(score.loss), "mean cross-entropy, nats"),
        *_calibration(diagnosis),
        *_training(diagnosis.training),
        ("Device", formats.short(diagnosis.device, 60), ""),
    ]


def _balanced(diagnosis: Diagnosis) -> list[tuple[str, str, str]]:
    """The accuracy that rare classes have a say in, where there are some."""
    counts = [count for count in diagnosis.dataset.test_counts if count]
    if max(counts) < IMBALANCED * min(counts):
        return []
    return [("Balanced accuracy", formats.percent(diagnosis.test.balanced_accuracy), "each class counts alike")]


def _top5(diagnosis: Diagnosis) -> list[tuple[str, str, str]]:
    share = diagnosis.test.top5_accuracy
    if share is None or len(diagnosis.dataset.classes) < MANY_CLASSES:
        return []
    return [("Top-5 accuracy", formats.percent(share), "the class is among the five most probable")]


def _training(training: TrainingRun | None) -> list[tuple[str, str, str]]:
    if training is None:
        return []
    epochs = formats.plural(len(training.epochs), "epoch")
    return [
        (
            "Training",
            epochs if training.seconds is None else formats.duration(training.seconds),
            "" if training.seconds is None else epochs,
        )
    ]


def _change(diagnosis: Diagnosis) -> list[tuple[str, str, str]]:
    beside = diagnosis.comparison
    if beside is None:
        return []
    sides = f"{formats.count(len(beside.fixed))} fixed, {formats.count(len(beside.broken))} broken"
    detail = f"95\u00a0% interval {comparison.interval_text(beside)}; {sides}"
    return [("Change", f"{formats.points(beside.difference)} points", detail)]


def _calibration(diagnosis: Diagnosis) -> list[tuple[str, str, str]]:
    error = diagnosis.calibration.error
    if error is None:
        return []
    return [("Calibration error", formats.percent(error), "mean distance of confidence from accuracy")]
