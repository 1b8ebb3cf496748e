"""Notes and findings on the terminal."""

from __future__ import annotations

import dataclasses
import io
import re
import sys

import click
import pytest
from fixtures.diagnoses import balanced, facts_of

from lrdiag.cli.findings import print_findings
from lrdiag.record.facts import Diagnosis, Finding

DIAGNOSIS = facts_of(balanced(3, 10, 9))


def found(*findings: Finding, notes: tuple[str, ...] = ()) -> Diagnosis:
    return dataclasses.replace(DIAGNOSIS, findings=[*findings], notes=[*notes])


def printed(diagnosis: Diagnosis, capsys: pytest.CaptureFixture[str]) -> str:
    print_findings(diagnosis)
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_findings_have_severity_title_evidence_and_advice(capsys: pytest.CaptureFixture[str]) -> None:
    error = Finding("at-chance", "error", "It guesses.", f"Accuracy is 10.0\u00a0%{' or so' * 100}.", "Train it again.")
    note = Finding("confused-pair", "note", "One pair is confused.", "", "")
    diagnosis = found(error, note, notes=("Images are stretched to 96\u00a0× 96 pixels.",))
    lines = printed(diagnosis, capsys).splitlines()
    assert lines[0] == "Images are stretched to 96 × 96 pixels."
    assert lines[1:3] == ["Findings: 1 error, 1 note.", "error: It guesses."]
    assert re.fullmatch(r"  Accuracy is 10\.0 % or so.{200,}…", lines[3])
    assert lines[4:] == ["  What to do: Train it again.", "note: One pair is confused."]


def test_without_findings_the_checks_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert re.fullmatch(r"Findings: (No findings|All \d+ checks).*\n", printed(found(), capsys))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_color", [False, True])
def test_findings_are_coloured_and_broken_into_lines_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1" if no_color else "")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    print_findings(found(Finding("at-chance", "error", "It guesses at random among classes.", "word " * 20, "")))
    _, title, rest, *evidence = terminal.getvalue().splitlines()
    assert title == f"{'error' if no_color else click.style('error', fg='red', bold=True)}: It guesses at random among"
    assert rest == "classes."
    assert evidence == ["  " + "word " * 6 + "word", "  " + "word " * 6 + "word", "  " + "word " * 5 + "word"]


def test_hostile_findings_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J\x9b1m\u202e[bold]cat[/bold]\r\n\nGate passed"
    diagnosis = found(Finding("x", "error", hostile, hostile, hostile), notes=(hostile,))
    text = printed(diagnosis, capsys)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert "[bold]cat[/bold] Gate passed" in text
    assert len(text.splitlines()) == 5
