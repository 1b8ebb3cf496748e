"""Checks that the picture sheets of a run show what its facts contain, when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, pairwise
from typing import NamedTuple

from lrdiag.record.consistency import all_findings, contradiction, outside
from lrdiag.record.facts import Diagnosis
from lrdiag.record.pictures import FILES, Sheet, SheetName

_OF_MISTAKES: tuple[SheetName, ...] = ("mistakes", "mistakes-predicted", "mistakes-true", "mistakes-difference")
_OF_FIXED: tuple[SheetName, ...] = ("fixed", "fixed-predicted")
Sheets = dict[SheetName, Sheet]


class SheetRule(NamedTuple):
    """A rule that the picture sheets of every run follow. Its attributes are those of `consistency.Rule`."""

    requirement: str
    contradictions: Callable[[Diagnosis, Sheets], Iterable[str]]


def require_matching(diagnosis: Diagnosis, sheets: Sheets) -> None:
    """Raises unless the picture sheets show what the facts contain.

    Args:
        diagnosis: Facts that `require_consistent` accepts.
        sheets: The sheets of the run.

    Raises:
        RunFolderError: With the first rule that they break.
    """
    for rule in SHEET_RULES:
        for received in rule.contradictions(diagnosis, sheets):
            raise contradiction("pictures.json", rule.requirement, received)


def _names_of_files(_run: Diagnosis, sheets: Sheets) -> Iterable[str]:
    for name, sheet in sheets.items():
        if sheet.file != FILES[name]:
            yield f"{sheet.file[:80]!r} for the sheet {name!r}"


def _entries(_run: Diagnosis, sheets: Sheets) -> Iterable[str]:
    for name, sheet in sheets.items():
        items = sheet.items
        if items is not None and len(items) != sheet.count:
            yield f"{len(items)} entries and {sheet.count} pictures in {name!r}"
        if items is not None and any(first >= second for first, second in pairwise(items)):
            yield f"entries of {name!r} that are not ascending"


def _counts(run: Diagnosis, sheets: Sheets) -> Iterable[str]:
    classes, followed = len(run.dataset.classes), run.evolution
    images = len(followed.images) if followed else 0
    expected: dict[SheetName, int] = {
        "class-means": 2 * classes + 2,
        "evolution": images,
        "evolution-maps": images * len(followed.epochs) if followed else 0,
    }
    for name, count in expected.items():
        if name in sheets and sheets[name].count != count:
            yield f"{sheets[name].count} pictures instead of {count} in {name!r}"
    if "samples" in sheets and sheets["samples"].count % classes:
        yield f"{sheets['samples'].count} pictures of {classes} classes in 'samples'"


def _shown(run: Diagnosis, sheets: Sheets) -> Iterable[str]:
    entries = {name: len(run.misclassified.items) for name in _OF_MISTAKES}
    entries |= {name: len(run.comparison.fixed) if run.comparison else 0 for name in _OF_FIXED}
    for name, count in entries.items():
        if name in sheets:
            items = sheets[name].items
            yield from outside([items[-1] if items else sheets[name].count - 1], count, f"in {name!r} entry")


def _same_places(run: Diagnosis, sheets: Sheets) -> Iterable[str]:
    alone = "images" in run.left_out
    for names in (_OF_MISTAKES, _OF_FIXED):
        first, *others = [name for name in names if name in sheets or not alone] or names
        for name in others:
            if name in sheets and (first not in sheets or _places(sheets[name]) != _places(sheets[first])):
                yield f"{name!r} with other pictures than {first!r}"
    if alone:
        return
    if "class-means" in sheets and not {"samples", "mistakes"} & sheets.keys():
        yield "'class-means' without images"
    if "evolution-maps" in sheets and "evolution" not in sheets:
        yield "'evolution-maps' without images"


def _places(sheet: Sheet) -> tuple[int, int, list[int] | None]:
    return sheet.columns, sheet.count, sheet.items


def _exhibits(run: Diagnosis, sheets: Sheets) -> Iterable[str]:
    if not sheets:  # a report.json alone
        return
    cells = (exhibit.cells for finding in all_findings(run) for exhibit in finding.exhibits)
    yield from outside(chain.from_iterable(cells), sheets["findings"].count if "findings" in sheets else 0, "picture")


SHEET_RULES = (
    SheetRule("a sheet has the file name of its kind", _names_of_files),
    SheetRule("a sheet names one entry for each picture, ascending", _entries),
    SheetRule("a sheet has the pictures of its kind", _counts),
    SheetRule("a picture shows an entry that exists", _shown),
    SheetRule("images and heatmaps are in the same places", _same_places),
    SheetRule("an exhibit has pictures that exist", _exhibits),
)
"""The rules for pictures.json. A rule may rely on those before it."""
