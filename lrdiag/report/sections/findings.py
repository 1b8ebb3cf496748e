"""What to know and what to do, worst first."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.facts import Finding, Run

_ORDER = ("error", "warning", "note")
_SHOWN_IN = {
    "training-stopped": "training",
    "training-interrupted": "training",
    "skipped-files": "data",
    "stand-in-data": "data",
    "no-heatmaps": "misclassified",
    "no-suggestion": "learning-rate",
    "overfitting": "training",
    "weak-class": "classes",
    "confused-pair": "confusion",
}
"""The section where the evidence of a finding is to be seen, by its code."""


@dataclass(frozen=True)
class Item:
    """A finding with the word for its severity and the key of the section that shows it, if one does."""

    severity: str
    finding: Finding
    section: str | None


@dataclass(frozen=True)
class Findings:
    """The findings, worst first."""

    sentence: str
    items: list[Item]


def build(run: Run) -> Findings:
    """Puts each finding beside the word for its severity and the place that shows it."""
    found = ordered(run.diagnosis.findings)
    return Findings(
        sentence(found), [Item(each.severity.capitalize(), each, _SHOWN_IN.get(each.code)) for each in found]
    )


def ordered(findings: list[Finding]) -> list[Finding]:
    """The findings, worst first; equals stay in their order."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def sentence(findings: list[Finding]) -> str:
    """How many findings of each severity there are, in words."""
    if not findings:
        return "Every check passed; nothing stands out."
    counts = [(sum(finding.severity == name for finding in findings), name) for name in _ORDER]
    return ", ".join(formats.plural(number, name) for number, name in counts if number) + "."
