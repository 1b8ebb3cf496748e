"""The section on findings: what was found, most severe first, and what was checked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lrdiag import formats
from lrdiag.diagnosis.findings.checking import OLD_RUN, recorded_checks
from lrdiag.record.facts import SEVERITIES, Check, Diagnosis, Finding, Run
from lrdiag.report.documentation import how_detected

MOST_OPEN = 7
"""Most findings that are open on the page. The others are folded."""


@dataclass(frozen=True)
class Checks:
    """The checks without a finding.

    Attributes:
        sentence: How many checks passed and how many were not checked.
        passed: The checks that passed.
        not_checked: Each reason, with the codes of the checks that it applies to.
    """

    sentence: str
    passed: list[Check]
    not_checked: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Findings:
    """The findings, most severe first, and the other checks.

    Attributes:
        sentence: How many findings of each severity there are.
        open: The findings that are open on the page.
        folded: Further findings.
        accepted: Findings that the settings accept.
        how_detected: How each problem is detected, by the code of its rule.
        checks: The checks without a finding.
    """

    sentence: str
    open: list[Finding]
    folded: list[Finding]
    accepted: list[Finding]
    how_detected: dict[str, str]
    checks: Checks


def build(run: Run) -> Findings:
    """Lists findings and checks as the facts have them."""
    found = run.diagnosis.outstanding
    return Findings(
        sentence(run.diagnosis),
        found[:MOST_OPEN],
        found[MOST_OPEN:],
        accepted_findings(run.diagnosis),
        how_detected() if run.diagnosis.findings else {},
        checks(run.diagnosis),
    )


def accepted_findings(diagnosis: Diagnosis) -> list[Finding]:
    """The findings that the settings accept."""
    return [finding for finding in diagnosis.findings if finding.accepted is not None]


def sentence(diagnosis: Diagnosis) -> str:
    """How many findings of each severity there are, in words."""
    accepted = len(accepted_findings(diagnosis))
    if not accepted:
        return _outstanding(diagnosis, "No findings")
    return f"{_outstanding(diagnosis, 'No other findings')} Accepted: {formats.plural(accepted, 'finding')}."


def _outstanding(diagnosis: Diagnosis, none: str) -> str:
    """How many findings are not accepted; `none` begins the sentence if there are none."""
    if diagnosis.outstanding:
        return counted(diagnosis.outstanding)
    if not diagnosis.checks:
        return f"{none}, but {OLD_RUN}."
    results = checks(diagnosis)
    if results.not_checked:
        return f"{none}, but not every check could be made."
    if diagnosis.findings:
        return f"{none}."
    return f"All {formats.plural(len(results.passed), 'check')} passed."


def counted(findings: Sequence[Finding]) -> str:
    """How many findings of each severity there are, in words; empty without findings."""
    counts = [(sum(each.severity == name for each in findings), name) for name in SEVERITIES]
    words = ", ".join(formats.plural(number, name) for number, name in counts if number)
    return f"{words}." if words else ""


def checks(diagnosis: Diagnosis) -> Checks:
    """What was checked without a finding, and what was not checked."""
    passed, reasons = [], defaultdict[str, list[str]](list)
    for check in recorded_checks(diagnosis):
        if check.status == "passed":
            passed.append(check)
        elif check.status == "not checked":
            reasons[check.reason or ""].append(check.code)
    left = sum(len(codes) for codes in reasons.values())
    counted = f"{formats.plural(len(passed), 'check')} passed, {formats.count(left)} not checked"
    return Checks(counted, passed, list(reasons.items()))
