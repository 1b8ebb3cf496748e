"""Reads report.json of earlier versions of lrdiag.

Schema 3 was written by lrdiag 0.1. It said where the pictures lie, which is now in pictures.json. It had no intervals
of classes and calibration bins, no checks, another order of the confused pairs, and the p-value of another test.

Schema 4 had findings without reasons why they matter and without effects. Schema 5 did not list the files of the run.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lrdiag.errors import RunFolderError
from lrdiag.intervals import conclude, consistent, mcnemar, wilson
from lrdiag.record.facts import SCHEMA_VERSION, SEVERITIES, Diagnosis, Severity
from lrdiag.record.pictures import Sheet, SheetName

OLDEST = 3
"""Schema version of lrdiag 0.1."""
WITHOUT_FILES = (4, 5)
"""Schema versions that are converted by giving what they did not record its default."""


@dataclass(frozen=True)
class _HeatmapSheets:
    predicted: Sheet
    true: Sheet
    difference: Sheet
    means: Sheet | None


@dataclass(frozen=True)
class _Sheets:
    photographs: Sheet | None
    heatmaps: _HeatmapSheets | None
    samples: Sheet | None
    shown: list[int] | None = None


@dataclass(frozen=True)
class _Comparison:
    broken: list[Any]
    fixed: list[Any]
    difference_low: float
    difference_high: float
    fixed_shown: list[int] = field(default_factory=list)
    fixed_photographs: Sheet | None = None
    fixed_heatmaps: Sheet | None = None


@dataclass(frozen=True)
class _Evolution:
    photographs: Sheet | None
    heatmaps: Sheet | None


@dataclass(frozen=True)
class _Bin:
    count: int
    right: int


@dataclass(frozen=True)
class _Calibration:
    bins: list[_Bin]


@dataclass(frozen=True)
class _Class:
    name: str


@dataclass(frozen=True)
class _Pair:
    true: int
    count: int


@dataclass(frozen=True)
class _Finding:
    severity: Severity


@dataclass(frozen=True)
class _Schema3:
    """The fields of schema 3 that are converted."""

    sheets: _Sheets
    calibration: _Calibration
    per_class: list[_Class]
    confusion: list[list[int]]
    confused_pairs: list[_Pair]
    findings: list[_Finding]
    comparison: _Comparison | None = None
    evolution: _Evolution | None = None


def from_schema_3(content: bytes) -> tuple[Diagnosis, dict[SheetName, Sheet]]:
    """Converts report.json of lrdiag 0.1.

    Returns:
        The facts, and the sheets in the run folder.

    Raises:
        RunFolderError: If its counts contradict each other.
        msgspec.MsgspecError: If it does not follow schema 3.
    """
    old = msgspec.json.decode(content, type=_Schema3)
    facts: dict[str, Any] = msgspec.json.decode(content)
    facts["schema_version"] = SCHEMA_VERSION
    for each, counts in zip(facts["calibration"]["bins"], old.calibration.bins, strict=True):
        each["accuracy_low"], each["accuracy_high"] = _interval(counts.right, counts.count)
    if {len(old.per_class)} != {len(old.confusion), *(len(row) for row in old.confusion)}:
        raise _contradiction(f"{len(old.per_class)} classes and a confusion matrix of another size")
    for index, (each, row) in enumerate(zip(facts["per_class"], old.confusion, strict=True)):
        predicted = sum(other[index] for other in old.confusion)
        each["recall_low"], each["recall_high"] = _interval(row[index], sum(row))
        each["precision_low"], each["precision_high"] = _interval(row[index], predicted)
    facts["confused_pairs"] = _worst_first(facts["confused_pairs"], old)
    facts["findings"].sort(key=lambda finding: SEVERITIES.index(finding["severity"]))
    if old.comparison:
        facts["comparison"] |= _conclusion(old.comparison)
    return msgspec.convert(facts, Diagnosis), _sheets(old)


def from_schema_4_or_5(content: bytes) -> Diagnosis:
    """Converts report.json of schema 4 or 5. What it did not record has its default.

    Raises:
        msgspec.MsgspecError: If it does not follow its schema.
    """
    facts: dict[str, Any] = msgspec.json.decode(content)
    return msgspec.convert(facts | {"schema_version": SCHEMA_VERSION}, Diagnosis)


def _worst_first(pairs: list[Any], old: _Schema3) -> list[Any]:
    """The confused pairs in the order of `lrdiag.diagnosis.pairs.confused_pairs`."""
    lowest_shares = []
    for pair in old.confused_pairs:
        if not 0 <= pair.true < len(old.confusion):
            raise _contradiction(f"a confused pair of class {pair.true}, and {len(old.confusion)} classes")
        lowest_shares.append(_interval(pair.count, sum(old.confusion[pair.true]))[0] or 0.0)
    return [pairs[place] for place in sorted(range(len(pairs)), key=lambda place: -lowest_shares[place])]


def _conclusion(comparison: _Comparison) -> dict[str, Any]:
    """Computes the p-value and the conclusion of the current test, and an interval that agrees with them."""
    broken, fixed = len(comparison.broken), len(comparison.fixed)
    p_value = mcnemar(broken, fixed)
    conclusion = conclude(fixed - broken, p_value)
    low, high = consistent((comparison.difference_low, comparison.difference_high), conclusion)
    return {"p_value": p_value, "conclusion": conclusion, "difference_low": low, "difference_high": high}


def _interval(hits: int, trials: int) -> tuple[float, float] | tuple[None, None]:
    if not 0 <= hits <= trials:
        raise _contradiction(f"{hits} of {trials}")
    return wilson(hits, trials) if trials else (None, None)


def _contradiction(received: str) -> RunFolderError:
    return RunFolderError(f"The counts in report.json must agree. Make the run again. Received: {received}")


def _sheets(old: _Schema3) -> dict[SheetName, Sheet]:
    """Returns the sheets by name."""
    found: dict[SheetName, Sheet | None] = {"samples": old.sheets.samples}
    shown = old.sheets.shown
    if old.sheets.photographs:
        found["mistakes"] = dataclasses.replace(old.sheets.photographs, items=shown)
    if maps := old.sheets.heatmaps:
        found["mistakes-predicted"] = dataclasses.replace(maps.predicted, items=shown)
        found["mistakes-true"] = dataclasses.replace(maps.true, items=shown)
        found["mistakes-difference"] = dataclasses.replace(maps.difference, items=shown)
        found["class-means"] = maps.means
    if old.comparison and old.comparison.fixed_photographs:
        items = old.comparison.fixed_shown
        found["fixed"] = dataclasses.replace(old.comparison.fixed_photographs, items=items)
        if old.comparison.fixed_heatmaps:
            found["fixed-predicted"] = dataclasses.replace(old.comparison.fixed_heatmaps, items=items)
    if old.evolution:
        found["evolution"], found["evolution-maps"] = old.evolution.photographs, old.evolution.heatmaps
    return {name: sheet for name, sheet in found.items() if sheet}
