"""Notes and findings on the terminal. Respects NO_COLOR.

Written without rich, whose import would take a tenth of the time of `lrdiag report`.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from lrdiag import formats

if TYPE_CHECKING:
    from lrdiag.diagnosis.findings.checking import Checked
    from lrdiag.record.facts import Diagnosis, Finding

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}
_LIMIT = 600
"""Characters of a title, and of each other text of a finding."""


def print_findings(diagnosis: Diagnosis) -> None:
    """Prints the notes, how many findings there are, and each finding with its texts and its effects, on stderr."""
    from lrdiag.report.sections.findings import sentence

    for note in diagnosis.notes:
        _print(_lines(note))
    _print(_lines(f"Findings: {sentence(diagnosis)}"))
    for finding in diagnosis.findings:
        _print_finding(finding)


def print_checked(result: Checked) -> None:
    """Prints the findings of `lrdiag check` on stdout: how many there are, and each finding with its texts."""
    from lrdiag.report.sections.findings import counted

    passed = sum(check.status == "passed" for check in result.checks)
    found = counted(result.findings)
    _print(_lines(f"{found or 'No findings.'} {formats.plural(passed, 'check')} passed."))
    for finding in result.findings:
        _print_finding(finding)


def _print_finding(finding: Finding) -> None:
    severity = click.style(finding.severity, fg=_COLOURS[finding.severity], bold=True)
    _print(_lines(f"{finding.severity}: {finding.title}").replace(finding.severity, severity, 1))
    what_to_do = ("What to do", finding.advice) if finding.accepted is None else ("Accepted", finding.accepted)
    for label, text in (("", finding.evidence), ("", finding.why), what_to_do):
        if text:
            _print(_lines(f"{label}: {text}" if label else text, indent="  "))
    for effect in finding.effects:
        _print(_lines(f"Explains: {effect.title}", indent="  "))


def _print(lines: str) -> None:
    click.echo(lines, err=True, color=False if os.environ.get("NO_COLOR") else None)


def _lines(text: str, indent: str = "") -> str:
    """Text from outside, without characters that control a terminal.

    Only a terminal gets it on several lines, so that `grep` finds a sentence in a log.
    """
    text = formats.for_terminal(formats.short(text, _LIMIT))
    if not sys.stderr.isatty():
        return indent + text
    columns = shutil.get_terminal_size().columns
    return textwrap.fill(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
