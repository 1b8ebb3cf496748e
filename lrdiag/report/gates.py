"""Gates in words: what was measured, what was required, what the two compare, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.facts import Diagnosis, GateFacts
from lrdiag.report.sections import comparison as beside

_FIGURES = {
    "accuracy": "the share of the test images that are classified correctly",
    "balanced-accuracy": "the mean recall of the classes",
    "auc": "the share of pairs of a positive and a negative image whose scores are in the right order",
    "recall": "the share of the images of this class that are classified correctly",
    "precision": "the share of the images predicted as this class that belong to it",
    "f1": "the harmonic mean of precision and recall of this class",
}
_LOW = {
    "accuracy": "Look at the findings, then at the most confused pairs",
    "balanced-accuracy": "Look at the classes with the lowest recall",
    "auc": "Look at the curves of both classes, then at the misclassified images",
    "recall": "Look at the misclassified images of this class",
    "precision": "Look at the images that are predicted as this class",
    "f1": "Look at the mistakes of this class in both directions",
}
_TITLES = {"balanced-accuracy": "Balanced accuracy", "auc": "AUC"}
_SECTIONS = {"balanced-accuracy": "classes", "auc": "curves"}
"""The sections that show the reason, if it is not the confusion."""


@dataclass(frozen=True)
class GateInWords:
    """A gate of the command line or of an options file.

    Attributes:
        passed: Whether the run passed it.
        title: Figure, value and limit: "Recall of cat: 57.8 %, required: at least 70.0 %".
        meaning: What the figure is, and what it is compared with.
        advice: What to do if it failed.
        section: The section of the page that shows the reason.
    """

    passed: bool
    title: str
    meaning: str
    advice: str
    section: str


def gates_in_words(diagnosis: Diagnosis) -> list[GateInWords]:
    """Explains every gate of the run, failed ones first."""
    gates = sorted(diagnosis.gates, key=lambda gate: gate.passed)
    return [_on_findings(gate) if gate.rule == "fail-on" else _on_a_figure(gate, diagnosis) for gate in gates]


def _on_findings(gate: GateFacts) -> GateInWords:
    found = round(gate.actual or 0)
    severity = "error" if gate.name == "error" else "error or warning"
    severities = severity if found == 1 else severity.replace("error", "errors").replace("warning", "warnings")
    return GateInWords(
        gate.passed,
        f"Findings: {formats.count(found) if found else 'no'} {severities}, allowed: none",
        "Counts the findings that the settings do not accept.",
        "Solve the findings, most severe first, or accept a known one with a reason",
        "findings",
    )


def _on_a_figure(gate: GateFacts, diagnosis: Diagnosis) -> GateInWords:
    figure, _, name = gate.name.partition(".")
    title = f"{figure.capitalize()} of {formats.short(name)}" if name else _TITLES.get(figure, figure.capitalize())
    meaning = f"{title} is {_FIGURES[figure]}"
    if gate.rule == "fail-under":
        value, limit = _apart(gate.actual, gate.limit)
        return GateInWords(
            gate.passed,
            f"{title}: {value}, required: at least {limit}",
            f"{meaning}{_own_interval(gate, diagnosis)}.",
            _LOW[figure],
            "classes" if name else _SECTIONS.get(figure, "confusion"),
        )
    return GateInWords(
        gate.passed,
        f"{title}: {_change(gate.actual)}, allowed: {_unsigned(gate.limit)} worse",
        f"{meaning}, compared with the baseline on the same test images.{_interval(diagnosis, gate.name)}",
        "Look at the broken images and at the classes that lost most",
        "comparison",
    )


def _apart(actual: float | None, limit: float) -> tuple[str, str]:
    """Both shares in percent, with so many digits that a value just below its limit does not look equal to it."""
    if actual is None:
        return "not defined", formats.percent(limit)
    digits = next((n for n in (1, 2, 3) if f"{100 * actual:.{n}f}" != f"{100 * limit:.{n}f}"), 1)
    return f"{100 * actual:.{digits}f}\u00a0%", f"{100 * limit:.{digits}f}\u00a0%"


def _change(decrease: float | None) -> str:
    if decrease is None:
        return "not defined"
    if not decrease:
        return "unchanged"
    return f"{_unsigned(decrease)} {'worse' if decrease > 0 else 'better'} than the baseline"


def _unsigned(difference: float) -> str:
    """Percentage points without a sign, with as many digits as a limit usually has: "0.5 points"."""
    number = f"{100 * abs(difference):.2f}".rstrip("0").rstrip(".")
    return f"{number} point{'' if number == '1' else 's'}"


def _own_interval(gate: GateFacts, diagnosis: Diagnosis) -> str:
    """The 95 % interval of the figure and the number of images; F1 and balanced accuracy have none."""
    figure, _, name = gate.name.partition(".")
    if figure == "auc" and diagnosis.binary and diagnosis.binary.auc:
        low, high, images = diagnosis.binary.auc.low, diagnosis.binary.auc.high, diagnosis.test.size
    elif figure == "accuracy":
        low, high, images = diagnosis.test.accuracy_low, diagnosis.test.accuracy_high, diagnosis.test.size
    elif figure in ("recall", "precision"):
        facts = diagnosis.per_class[diagnosis.dataset.classes.index(name)]
        low, high = getattr(facts, f"{figure}_low"), getattr(facts, f"{figure}_high")
        index = diagnosis.dataset.classes.index(name)
        images = facts.support if figure == "recall" else sum(row[index] for row in diagnosis.confusion)
    else:
        return ""
    if low is None or high is None:
        return ""
    return f"; 95\u00a0% interval {100 * low:.1f} to {100 * high:.1f}\u00a0% on {formats.plural(images, 'image')}"


def _interval(diagnosis: Diagnosis, name: str) -> str:
    compared = diagnosis.comparison
    if compared is None or name != "accuracy":
        return ""
    return f" The 95\u00a0% interval of the difference is {beside.interval_text(compared)} points."


def failed_gates(diagnosis: Diagnosis) -> list[GateInWords]:
    """The gates that failed."""
    return [gate for gate in gates_in_words(diagnosis) if not gate.passed]
