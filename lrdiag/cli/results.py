"""What the commands print when a run is done, and their exit codes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrdiag import formats
from lrdiag.cli.github import append_step_summary
from lrdiag.cli.streams import say
from lrdiag.diagnosis.gates import Gate, Outcome

if TYPE_CHECKING:
    from lrdiag.rate.range_test import RangeTest
    from lrdiag.record.facts import Comparison, Diagnosis, Score
    from lrdiag.vocabulary import RuleName

BAD_INPUT = 2
GATE_FAILED = 3


def announce(folder: Path) -> None:
    """Appends the summary to GitHub's step summary, if GitHub runs this."""
    if warning := append_step_summary(folder / "summary.md"):
        say(f"Warning: {warning}", err=True)


def print_result(
    diagnosis: Diagnosis, page: Path, outcomes: list[Outcome], as_json: bool, quiet: bool, *, verdict: bool = True
) -> None:
    """Prints the verdict and the path of the page on stdout, notes and findings on stderr; or everything as JSON.

    Args:
        diagnosis: The facts.
        page: The page that was written.
        outcomes: The outcomes of the gates.
        as_json: Print JSON instead, on stdout.
        quiet: Print nothing but the JSON.
        verdict: Whether to print the verdict. Without it, the path is alone on stdout.
    """
    if as_json:
        print_json({**_summary(diagnosis, page), "gates": _gates(outcomes)})
    elif not quiet:
        from lrdiag.cli.findings import print_findings
        from lrdiag.report.sections.verdict import verdict_sentence

        if verdict:
            say(verdict_sentence(diagnosis))
        print_findings(diagnosis)
        say(str(page))


def print_compared(
    diagnosis: Diagnosis, page: Path | None, outcomes: list[Outcome], as_json: bool, quiet: bool
) -> None:
    """Prints the comparison on stdout, and the path of the page if one was written; or everything as JSON."""
    comparison = diagnosis.comparison
    if as_json and comparison is not None:
        print_json({**_comparison(diagnosis, comparison, page), "gates": _gates(outcomes)})
    elif not quiet:
        from lrdiag.report.terminal import print_comparison

        print_comparison(diagnosis)
        if page is not None:
            say(str(page))


def print_range_test(test: RangeTest, rule: RuleName, rate: float, quiet: bool) -> None:
    """Prints the suggestion alone on stdout, and the bounds and how the test ended on stderr."""
    if not quiet:
        from lrdiag.report.terminal import range_test_lines

        for line in range_test_lines(test, rule, rate):
            say(line, err=True)
    click.echo(f"{rate:.4g}")


def print_json(facts: dict[str, Any]) -> None:
    """Prints facts on stdout."""
    click.echo(json.dumps(formats.encodable_record(facts), indent=1))


def exit_by(gates: tuple[Gate, ...], outcomes: list[Outcome], quiet: bool) -> None:
    """Prints the outcome of each gate, and exits with code 3 if one failed."""
    checked = [outcome.gate for outcome in outcomes]
    for outcome in outcomes:
        if not (quiet and outcome.passed):
            say(f"Gate {outcome}", err=True)
    for gate in gates:
        if gate not in checked and not quiet:
            say(f"Gate not checked {gate.name}: {gate.rule} needs a baseline", err=True)
    if not all(outcome.passed for outcome in outcomes):
        click.get_current_context().exit(GATE_FAILED)


def is_watched() -> bool:
    """Returns whether a person uses the terminal."""
    return sys.stdout.isatty() and "CI" not in os.environ


def _summary(diagnosis: Diagnosis, page: Path) -> dict[str, Any]:
    test, rates = diagnosis.test, diagnosis.range_test
    comparison = diagnosis.comparison
    return {
        "report": str(page),
        "dataset": diagnosis.dataset.name,
        "fallback": diagnosis.dataset.fallback,
        "accuracy": test.accuracy,
        "accuracy_low": test.accuracy_low,
        "accuracy_high": test.accuracy_high,
        "loss": test.loss,
        "test_size": test.size,
        "misclassified": diagnosis.misclassified.count,
        "base_lr": rates.base_lr if rates else None,
        "max_lr": rates.max_lr if rates else None,
        "suggestion": rates.suggestion if rates else None,
        "findings": [finding.code for finding in diagnosis.outstanding],
        "accepted": [finding.code for finding in diagnosis.findings if finding.accepted is not None],
        "notes": diagnosis.notes,
        "seconds": diagnosis.seconds.total,
        "comparison": None if comparison is None else _difference(comparison),
    }


def _comparison(diagnosis: Diagnosis, comparison: Comparison, page: Path | None) -> dict[str, Any]:
    names = diagnosis.dataset.classes
    return {
        "report": None if page is None else str(page),
        "test_size": diagnosis.test.size,
        "base": _figures(comparison.base, comparison.base_calibration_error),
        "head": _figures(diagnosis.test, diagnosis.calibration.error),
        **_difference(comparison),
        "conclusion": comparison.conclusion,
        "classes": [{"name": names[each.index], "base": each.base, "head": each.head} for each in comparison.classes],
        "changes": [asdict(each) for each in comparison.changes],
    }


def _figures(score: Score, calibration_error: float | None) -> dict[str, Any]:
    names = ("accuracy", "accuracy_low", "accuracy_high", "loss")
    return {**{name: getattr(score, name) for name in names}, "calibration_error": calibration_error}


def _difference(comparison: Comparison) -> dict[str, Any]:
    figures = ("difference", "difference_low", "difference_high", "p_value")
    return {
        **{name: getattr(comparison, name) for name in figures},
        "fixed": comparison.all_fixed,
        "broken": comparison.all_broken,
    }


def _gates(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    return [{**asdict(each.gate), "actual": each.actual, "passed": each.passed} for each in outcomes]
