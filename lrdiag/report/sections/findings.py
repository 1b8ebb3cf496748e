"""The section on findings: what was found, most severe first, and what was checked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lrdiag import formats
from lrdiag.diagnosis.findings.checking import OLD_RUN, every_finding, recorded_checks
from lrdiag.record.data_facts import Exhibit, ImageRef
from lrdiag.record.facts import SEVERITIES, Check, Diagnosis, Finding, Run
from lrdiag.record.image_table import Part
from lrdiag.record.pictures import Pictures, SheetName
from lrdiag.report.documentation import how_detected
from lrdiag.report.pictures.tiles import Layer, layer

PICTURES: tuple[SheetName, ...] = ("findings",)
MOST_OPEN = 7
"""Most findings that are open on the page. The others are folded."""
EXHIBITS_OPEN = 8
"""Most exhibits of a finding that are open on the page. The others are folded."""
PARTS: dict[Part, str] = {"test": "test", "train": "training"}
"""The sets in words."""


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
class Figure:
    """An exhibit of a finding.

    Attributes:
        caption: One line.
        image: The image in words, with its index; empty if the pictures belong to no single image.
        file: Its file, or `None`.
        places: Column and row of each picture in its sheet.
    """

    caption: str
    image: str
    file: str | None
    places: list[tuple[int, int]]


@dataclass(frozen=True)
class Figures:
    """The exhibits of a finding, most telling first.

    Attributes:
        open: Those that are open on the page.
        folded: The others.
        width: Most pictures of one exhibit. They lie side by side.
    """

    open: list[Figure]
    folded: list[Figure]
    width: int


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
        figures: The exhibits of each finding and each effect that has some, by the code of its rule.
        sheet: The sheet of their pictures, or `None`.
    """

    sentence: str
    open: list[Finding]
    folded: list[Finding]
    accepted: list[Finding]
    how_detected: dict[str, str]
    checks: Checks
    figures: dict[str, Figures]
    sheet: Layer | None


def build(run: Run) -> Findings:
    """Lists findings and checks as the facts have them."""
    found, sheet = run.diagnosis.outstanding, run.pictures.sheets.get("findings")
    return Findings(
        sentence(run.diagnosis),
        found[:MOST_OPEN],
        found[MOST_OPEN:],
        accepted_findings(run.diagnosis),
        how_detected() if run.diagnosis.findings else {},
        checks(run.diagnosis),
        _figures(run),
        layer(run.pictures, sheet) if sheet else None,
    )


def _figures(run: Run) -> dict[str, Figures]:
    figures = {}
    for finding in every_finding(run.diagnosis):
        shown = [_figure(each, run.pictures) for each in finding.exhibits]
        if shown:
            width = max(len(each.places) for each in shown)
            figures[finding.code] = Figures(shown[:EXHIBITS_OPEN], shown[EXHIBITS_OPEN:], width)
    return figures


def _figure(exhibit: Exhibit, pictures: Pictures) -> Figure:
    image = exhibit.image
    sheet = pictures.sheets.get("findings")
    places = [sheet.place(cell) for cell in exhibit.cells] if sheet else []
    return Figure(exhibit.caption, image_in_words(image) if image else "", image.file if image else None, places)


def image_in_words(image: ImageRef) -> str:
    """An image in words: `test image 123`."""
    return f"{PARTS[image.part]} image {image.index}"


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
