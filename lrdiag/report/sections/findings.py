"""The section on findings: what was found, most severe first, and what was checked."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from lrdiag import formats
from lrdiag.diagnosis.findings.checking import OLD_RUN, recorded_checks
from lrdiag.record.facts import SEVERITIES, Check, Diagnosis, Finding, Run


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
    """The findings, most severe first, and the other checks."""

    sentence: str
    items: list[Finding]
    checks: Checks


def build(run: Run) -> Findings:
    """Lists findings and checks as the facts have them."""
    return Findings(sentence(run.diagnosis), run.diagnosis.findings, checks(run.diagnosis))


def sentence(diagnosis: Diagnosis) -> str:
    """How many findings of each severity there are, in words."""
    counts = [(sum(each.severity == name for each in diagnosis.findings), name) for name in SEVERITIES]
    if any(number for number, _ in counts):
        return ", ".join(formats.plural(number, name) for number, name in counts if number) + "."
    if not diagnosis.checks:
        return f"No findings, but {OLD_RUN}."
    results = checks(diagnosis)
    if results.not_checked:
        return "No findings, but not every check could be made."
    return f"All {formats.plural(len(results.passed), 'check')} passed."


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
