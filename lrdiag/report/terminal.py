"""Text for a terminal: the comparison of two runs, and a range test."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lrdiag import formats
from lrdiag.errors import NoSuggestion
from lrdiag.rate.range_test import BELOW_THE_CYCLE, RangeTest
from lrdiag.record.facts import Comparison, Diagnosis
from lrdiag.report.sections import comparison as section
from lrdiag.vocabulary import RuleName

_CLASSES = 20
"""Maximum number of classes that are listed: those that changed most."""


def range_test_lines(test: RangeTest, rule: RuleName, rate: float) -> list[str]:
    """Describes what a range test measured: the suggestion, the boundaries of a cycle, the interval, and its end.

    Args:
        test: The range test.
        rule: The rule that read the suggestion.
        rate: The suggestion.
    """
    return [
        f"Suggestion: {formats.rate(rate)}, by the rule {rule}. It is for a constant learning rate.",
        *_boundaries(test, rate),
        *_interval(test),
        f"The sweep ended after {formats.plural(test.iterations, 'update')}: {test.stop_reason}.",
    ]


def _boundaries(test: RangeTest, rate: float) -> list[str]:
    try:
        base_lr, max_lr = test.bounds()
    except NoSuggestion as error:
        return [f"No boundaries of a cycle: {error}"]
    boundaries = f"Boundaries of a cycle: base_lr {formats.rate(base_lr)}, max_lr {formats.rate(max_lr)}."
    return [boundaries, BELOW_THE_CYCLE] if rate < base_lr else [boundaries]


def _interval(test: RangeTest) -> list[str]:
    if len(test.sweeps) < 2:
        return ["Interval of the suggestion: not measured, because there was one sweep. Use --repeats 3."]
    try:
        low, high = test.interval()
    except NoSuggestion as error:
        return [f"No interval of the suggestion: {error}"]
    return [f"Interval of the suggestion: {formats.rate(low)} to {formats.rate(high)}, of {len(test.sweeps)} sweeps."]


def print_comparison(diagnosis: Diagnosis) -> None:
    """Prints the comparison with the baseline on stdout; respects NO_COLOR. Prints nothing without a baseline."""
    comparison = diagnosis.comparison
    if comparison is None:
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(formats.for_terminal(section.sentence(comparison, diagnosis.test.accuracy)), style="bold"))
    console.print(Text(formats.for_terminal(section.evidence(comparison, diagnosis.test.size))))
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
    table.add_row("accuracy", _percent(before.accuracy), _percent(now.accuracy))
    table.add_row("test loss", section.base_loss(comparison, now), formats.loss(now.loss, now.loss_name is not None))
    errors = comparison.base_calibration_error, diagnosis.calibration.error
    table.add_row("calibration error", *map(_percent, errors))
    return table


def _classes(rows: list[section.ClassRow]) -> Table:
    table = _table("Recall", "Baseline", "This run", "Points", "Fixed", "Broken")
    for row in rows:
        table.add_row(
            _legible(row.name),
            _percent(row.before),
            _percent(row.now),
            formats.points(row.change, digits=2),
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


def _percent(share: float | None) -> str:
    return formats.plain(formats.percent(share))


def _legible(name: str) -> Text:
    return Text(formats.for_terminal(formats.short(name)))
