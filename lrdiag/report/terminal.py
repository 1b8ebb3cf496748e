"""Prints the comparison of two runs on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lrdiag import formats
from lrdiag.record.facts import Comparison, Diagnosis
from lrdiag.report.sections import comparison as section

_CLASSES = 20
"""Maximum number of classes that are listed: those that changed most."""


def print_comparison(diagnosis: Diagnosis) -> None:
    """Prints the comparison with the baseline on stdout; respects NO_COLOR. Prints nothing without a baseline."""
    comparison = diagnosis.comparison
    if comparison is None:
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(section.sentence(comparison, diagnosis.test.accuracy), style="bold"))
    console.print(Text(section.evidence(comparison, diagnosis.test.size)))
    console.print()
    rows = section.class_rows(diagnosis, comparison)
    listed = section.most_changed(rows, _CLASSES)
    console.print(_figures(diagnosis, comparison))
    console.print(_classes(listed))
    if len(listed) < len(rows):
        left_out = f"{formats.count(len(rows) - len(listed))} of {formats.count(len(rows))} classes"
        console.print(Text(f"{left_out} changed less and are not listed."))


def _figures(diagnosis: Diagnosis, comparison: Comparison) -> Table:
    table = _table("", "Baseline", "This run")
    before, now = comparison.base, diagnosis.test
    table.add_row("accuracy", formats.percent(before.accuracy), formats.percent(now.accuracy))
    table.add_row("test loss", section.base_loss(comparison, now), formats.loss(now.loss, now.loss_name is not None))
    errors = comparison.base_calibration_error, diagnosis.calibration.error
    table.add_row("calibration error", *map(formats.percent, errors))
    return table


def _classes(rows: list[section.ClassRow]) -> Table:
    table = _table("Recall", "Baseline", "This run", "Points", "Fixed", "Broken")
    for row in rows:
        table.add_row(
            _legible(row.name),
            formats.percent(row.before),
            formats.percent(row.now),
            formats.points(row.change),
            formats.count(row.fixed),
            formats.count(row.broken),
        )
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _legible(name: str) -> Text:
    return Text(str(formats.legible(formats.short(name))))
