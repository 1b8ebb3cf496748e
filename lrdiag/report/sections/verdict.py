"""The top of the page: what is wrong, the result, and reasons not to trust it."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.diagnosis.findings.checking import cause_of
from lrdiag.diagnosis.gates import describe
from lrdiag.diagnosis.pairs import worst_pair
from lrdiag.record.facts import Diagnosis, Finding, Run, Score, TrainingRun
from lrdiag.report.sections import comparison, estimates
from lrdiag.vocabulary import ENGINES

IMBALANCED = 2
"""Class-size ratio from which balanced accuracy is shown."""
TITLE_LIMIT = 160
"""Characters of the title of a finding in the verdict."""
MANY_CLASSES = 20
"""Number of classes from which top-5 accuracy is shown."""


@dataclass(frozen=True)
class Caution:
    """A reason not to trust this run, in a few words and in full."""

    title: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """The most important facts of a run.

    Attributes:
        problem: The finding that the page begins with, or `None`.
        sentence: The verdict, without a full stop: what is wrong, and the result.
        result: The result in one sentence, without a full stop.
        subject: Model and data.
        failed: The gates that failed; they come first.
        cautions: Further reasons not to trust the run.
        figures: A few numbers: name, value and detail.
        notes: Sentences about how the model was evaluated.
        estimates: The accuracy without some of the test images, in words, or `None`.
    """

    problem: Finding | None
    sentence: str
    result: str
    subject: str
    failed: list[Caution]
    cautions: list[Caution]
    figures: list[tuple[str, str, str]]
    notes: list[str]
    estimates: str | None


def build(run: Run) -> Verdict:
    """Builds the top of the page."""
    diagnosis = run.diagnosis
    return Verdict(
        problem=problem(diagnosis),
        sentence=verdict_sentence(diagnosis),
        result=result_sentence(diagnosis),
        subject=f"{formats.short(diagnosis.model)}, {formats.plural(diagnosis.parameters, 'parameter')}"
        + (f", on {formats.short(diagnosis.dataset.name)}" if diagnosis.dataset.name else ""),
        failed=failed_gates(diagnosis),
        cautions=cautions(diagnosis),
        figures=_figures(diagnosis),
        notes=diagnosis.notes,
        estimates=estimates.sentence(diagnosis),
    )


def problem(diagnosis: Diagnosis) -> Finding | None:
    """The most important error; `None` if no finding is an error, except accepted ones."""
    return next(iter(_errors(diagnosis)), None)


def _errors(diagnosis: Diagnosis) -> list[Finding]:
    return [finding for finding in diagnosis.outstanding if finding.severity == "error"]


def verdict_sentence(diagnosis: Diagnosis) -> str:
    """What is wrong, if there is an error, and the result; without a full stop."""
    found = problem(diagnosis)
    if found is None:
        return result_sentence(diagnosis)
    return f"{formats.short(found.title, TITLE_LIMIT)} Do not trust the result: {result_sentence(diagnosis)}"


def result_sentence(diagnosis: Diagnosis) -> str:
    """The result in one sentence, without a full stop."""
    score = diagnosis.test
    name = f"{formats.short(diagnosis.dataset.name)} " if diagnosis.dataset.name else ""
    result = f"{formats.percent(score.accuracy)} on {formats.plural(score.size, f'{name}test image')}"
    if diagnosis.comparison:
        result = f"{result}, {comparison.headline(diagnosis.comparison)}"
    return f"{result}; {_mistakes(diagnosis)}"


def _mistakes(diagnosis: Diagnosis) -> str:
    """The worst pair; the number of misclassified images if there is no such pair, or if a finding explains it."""
    wrong = diagnosis.misclassified.count
    if not wrong:
        return "no image is misclassified"
    worst = worst_pair(diagnosis)
    if worst is None or cause_of("confused-pair", diagnosis):
        return f"{formats.plural(wrong, 'image')} {'is' if wrong == 1 else 'are'} misclassified"
    true, predicted = (formats.short(diagnosis.dataset.classes[index]) for index in (worst.true, worst.predicted))
    return f"the most confused pair: {true} predicted as {predicted}"


def failed_gates(diagnosis: Diagnosis) -> list[Caution]:
    """The gates that failed."""
    return [Caution("Gate failed", f"{describe(gate)}.") for gate in diagnosis.gates if not gate.passed]


def cautions(diagnosis: Diagnosis) -> list[Caution]:
    """Reasons not to trust the run beside its problem: other errors, and a training run that did not end.

    Training that stopped is said even if another finding explains it.
    """
    errors = _errors(diagnosis)
    stopped = [each for error in errors for each in error.effects if each.code == "training-stopped"]
    others = [Caution("Error", finding.title) for finding in (*stopped, *errors[1:])]
    return others + _interruption(diagnosis.training)


def _interruption(training: TrainingRun | None) -> list[Caution]:
    if training is None or not training.interrupted:
        return []
    done = f"{formats.count(len(training.epochs))} of {formats.plural(training.epochs_planned, 'epoch')}"
    return [Caution(f"Training stopped after {done}", f"{training.stop_reason}.")]


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
        ("Misclassified", formats.count(diagnosis.misclassified.count), f"of {size}"),
        ("Test loss", formats.loss(score.loss, score.loss_name is not None), _loss_name(score)),
        *_calibration(diagnosis),
        *_training(diagnosis.training),
        ("Device", formats.short(diagnosis.device, 60), ""),
        ("Backend", ENGINES.get(diagnosis.backend, diagnosis.backend), ""),
    ]


def _loss_name(score: Score) -> str:
    return "" if score.loss_name is None else f"mean {score.loss_name}"


def _balanced(diagnosis: Diagnosis) -> list[tuple[str, str, str]]:
    """Balanced accuracy, if the classes differ in size."""
    counts = [count for count in diagnosis.dataset.test_counts if count]
    if max(counts) < IMBALANCED * min(counts):
        return []
    return [("Balanced accuracy", formats.percent(diagnosis.test.balanced_accuracy), "every class has the same weight")]


def _top5(diagnosis: Diagnosis) -> list[tuple[str, str, str]]:
    share = diagnosis.test.top5_accuracy
    if share is None or len(diagnosis.dataset.classes) < MANY_CLASSES:
        return []
    return [("Top-5 accuracy", formats.percent(share), "the true class is among the five most probable")]


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
    facts = diagnosis.comparison
    if facts is None:
        return []
    images = f"{formats.count(len(facts.fixed))} fixed, {formats.count(len(facts.broken))} broken"
    detail = f"95\u00a0% interval {comparison.interval_text(facts)}; {images}"
    return [("Change", f"{formats.points(facts.difference)} points", detail)]


def _calibration(diagnosis: Diagnosis) -> list[tuple[str, str, str]]:
    error = diagnosis.calibration.error
    if error is None:
        return []
    return [("Calibration error", formats.percent(error), "mean distance between confidence and accuracy")]
