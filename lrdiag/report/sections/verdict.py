"""The top of the page: what is wrong, the result, and reasons not to trust it."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.diagnosis.findings.checking import cause_of
from lrdiag.diagnosis.pairs import worst_pair
from lrdiag.record.facts import Comparison, ConfusedPair, Diagnosis, Finding, Run, Score, TrainingRun
from lrdiag.report import privacy
from lrdiag.report.gates import GateInWords, gates_in_words
from lrdiag.report.sections import comparison, estimates

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
class Change:
    """The change since the baseline.

    Attributes:
        conclusion: "Better", "Worse" or "No detectable difference".
        figures: The difference with its interval, and the numbers of fixed and broken images.
        sign: A mark that says the same as the conclusion: ▲, ▼ or =.
    """

    conclusion: str
    figures: str
    sign: str


@dataclass(frozen=True)
class Figure:
    """One of a few numbers at the top: its name, its value, a detail or nothing, and the section it leads to or ""."""

    name: str
    value: str
    detail: str = ""
    section: str = ""


@dataclass(frozen=True)
class Verdict:
    """The most important facts of a run.

    Attributes:
        problem: The finding that the page begins with, or `None`.
        sentence: The verdict, without a full stop: what is wrong, and the result.
        result: The accuracy in a few words, without a full stop.
        subject: Model and data.
        change: The change since the baseline, or `None` if the run was not compared.
        failed: The gates that failed; they come first.
        passed: The gates that passed.
        cautions: Further reasons not to trust the run.
        figures: A few numbers.
        notes: What was left out, and sentences about how the model was evaluated.
        estimates: The accuracy without some of the test images, in words, or `None`.
    """

    problem: Finding | None
    sentence: str
    result: str
    subject: str
    change: Change | None
    failed: list[GateInWords]
    passed: list[GateInWords]
    cautions: list[Caution]
    figures: list[Figure]
    notes: list[str]
    estimates: str | None


def build(run: Run) -> Verdict:
    """Builds the top of the page."""
    diagnosis, gates = run.diagnosis, gates_in_words(run.diagnosis)
    return Verdict(
        problem=problem(diagnosis),
        sentence=verdict_sentence(diagnosis),
        result=accuracy_sentence(diagnosis),
        subject=f"{formats.short(diagnosis.model)}, {formats.plural(diagnosis.parameters, 'parameter')}"
        + (f", on {formats.short(diagnosis.dataset.name)}" if diagnosis.dataset.name else ""),
        change=change(diagnosis.comparison) if diagnosis.comparison else None,
        failed=[gate for gate in gates if not gate.passed],
        passed=[gate for gate in gates if gate.passed],
        cautions=cautions(diagnosis),
        figures=_figures(diagnosis),
        notes=[*filter(None, [privacy.sentence(diagnosis)]), *diagnosis.notes],
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


def result_sentence(diagnosis: Diagnosis, *, with_change: bool = True) -> str:
    """The result in one sentence, without a full stop; with the change since the baseline, if there is one."""
    result = accuracy_sentence(diagnosis)
    if diagnosis.comparison and with_change:
        result = f"{result}, {comparison.headline(diagnosis.comparison)}"
    return f"{result}; {_mistakes(diagnosis)}"


def accuracy_sentence(diagnosis: Diagnosis) -> str:
    """The accuracy and the test set, without a full stop: "78.6 % on 10,000 CIFAR-10 test images"."""
    score = diagnosis.test
    name = f"{formats.short(diagnosis.dataset.name)} " if diagnosis.dataset.name else ""
    return f"{formats.percent(score.accuracy)} on {formats.plural(score.size, f'{name}test image')}"


def change(compared: Comparison) -> Change:
    """The change since the baseline in one sentence: "Worse: −3.8 points, 95 % interval −7.6 to −0.1"."""
    images = f"{formats.plural(compared.all_fixed, 'image')} fixed, {formats.count(compared.all_broken)} broken"
    interval = comparison.interval_text(compared)
    return Change(
        compared.conclusion.capitalize(),
        f"{formats.points(compared.difference, digits=2)} points, 95\u00a0% interval {interval}; {images}",
        {"better": "▲", "worse": "▼"}.get(compared.conclusion, "="),
    )


def _mistakes(diagnosis: Diagnosis) -> str:
    """The worst pair; the number of misclassified images if there is no such pair, or if a finding explains it."""
    wrong = diagnosis.misclassified.count
    if not wrong:
        return "no image is misclassified"
    worst = _worst_pair(diagnosis)
    if worst is None:
        return f"{formats.plural(wrong, 'image')} {'is' if wrong == 1 else 'are'} misclassified"
    true, predicted = (formats.short(diagnosis.dataset.classes[index]) for index in (worst.true, worst.predicted))
    return f"the most confused pair: {true} predicted as {predicted}"


def _worst_pair(diagnosis: Diagnosis) -> ConfusedPair | None:
    """The worst pair; `None` if there is none, or if a finding explains it."""
    return None if cause_of("confused-pair", diagnosis) else worst_pair(diagnosis)


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


def _figures(diagnosis: Diagnosis) -> list[Figure]:
    score = diagnosis.test
    # Word joiners keep the interval on one line.
    interval = f"{100 * score.accuracy_low:.1f}\u2060–\u2060{100 * score.accuracy_high:.1f}"
    figures = [
        Figure("Accuracy", formats.percent(score.accuracy), f"95\u00a0% interval {interval}"),
        *_balanced(diagnosis),
        *_top5(diagnosis),
        Figure(
            "Misclassified",
            formats.count(diagnosis.misclassified.count),
            f"of {formats.plural(score.size, 'test image')}",
            "misclassified",
        ),
        *_weakest(diagnosis),
        *_most_confused(diagnosis),
        Figure("Test loss", formats.loss(score.loss, score.loss_name is not None), _loss_name(score)),
        *_calibration(diagnosis),
        learning_rate_figure(diagnosis),
    ]
    return [figure for figure in figures if figure]


def _loss_name(score: Score) -> str:
    return "" if score.loss_name is None else f"mean {score.loss_name}"


def _balanced(diagnosis: Diagnosis) -> list[Figure]:
    """Balanced accuracy, if the classes differ in size."""
    counts = [count for count in diagnosis.dataset.test_counts if count]
    if max(counts) < IMBALANCED * min(counts):
        return []
    share = formats.percent(diagnosis.test.balanced_accuracy)
    return [Figure("Balanced accuracy", share, "every class has the same weight")]


def _top5(diagnosis: Diagnosis) -> list[Figure]:
    share = diagnosis.test.top5_accuracy
    if share is None or len(diagnosis.dataset.classes) < MANY_CLASSES:
        return []
    return [Figure("Top-5 accuracy", formats.percent(share), "true class among the five most probable")]


def _weakest(diagnosis: Diagnosis) -> list[Figure]:
    """The class with the lowest recall; nothing if every class has the same."""
    known = [(each.recall, each.name) for each in diagnosis.per_class if each.recall is not None]
    if not known or min(known)[0] == max(known)[0]:
        return []
    recall, name = min(known, key=lambda each: each[0])
    return [Figure("Lowest recall", formats.percent(recall), f"of {formats.short(name)}", "classes")]


def _most_confused(diagnosis: Diagnosis) -> list[Figure]:
    worst = _worst_pair(diagnosis)
    if worst is None:
        return []
    true, predicted = (formats.short(diagnosis.dataset.classes[index]) for index in (worst.true, worst.predicted))
    images = formats.plural(worst.count, "image")
    return [Figure("Most confused", images, f"{true} predicted as {predicted}", "confusion")]


def _calibration(diagnosis: Diagnosis) -> list[Figure]:
    error = diagnosis.calibration.error
    if error is None:
        return []
    return [Figure("Calibration error", formats.percent(error), "confidence against accuracy", "confidence")]


def learning_rate_figure(diagnosis: Diagnosis) -> Figure | None:
    """The learning rate that was used, or `None` if it is not known."""
    training = diagnosis.training
    if training is None or not training.learning_rate_per_step:
        return None
    low, high = (formats.rate(each(training.learning_rate_per_step)) for each in (min, max))
    return Figure("Learning rate", high, "constant" if low == high else f"highest; lowest {low}", "training")
