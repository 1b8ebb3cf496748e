"""What to know and what to do, worst first."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.records import Finding, Run

_ORDER = ("error", "warning", "note")


@dataclass(frozen=True)
class Findings:
    """The findings, worst first, each with the word for its severity."""

    sentence: str
    items: list[tuple[str, Finding]]


def build(run: Run) -> Findings:
    """Puts each finding beside the word for its severity."""
    items = ordered(run.diagnosis.findings)
    return Findings(sentence(items), [(finding.severity.capitalize(), finding) for finding in items])


def ordered(findings: list[Finding]) -> list[Finding]:
    """The findings, worst first; equals stay in their order."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def sentence(findings: list[Finding]) -> str:
    """How many findings of each severity there are, in words."""
    if not findings:
        return "Every check passed; nothing stands out."
    counts = [(sum(finding.severity == name for finding in findings), name) for name in _ORDER]
    return ", ".join(formats.plural(number, name) for number, name in counts if number) + "."
