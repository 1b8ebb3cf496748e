"""The run in a few lines of Markdown, for a pull request."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lrdiag import formats
from lrdiag.record.facts import Diagnosis, Finding
from lrdiag.report.sections import comparison, estimates, findings
from lrdiag.report.gates import failed_gates
from lrdiag.report.sections.verdict import Caution, cautions, problem
from lrdiag.report.sections.verdict import verdict_sentence as verdict_sentence
from lrdiag.report.templates import CODE, FILTERS, templates_root

MARKER = "<!-- lrdiag summary -->"
"""The first line, by which a bot finds its earlier comment."""
LIMIT = 60_000
"""Characters. GitHub allows 65,536 in a comment, so workflows can add lines."""
SECTIONS = ("findings", "baseline", "confused pairs", "classes", "settings")
"""Sections that may be left out if the summary is too long, most important first."""
_ROWS = 5
_CAUTIONS = 10
_IMAGES = 5
"""Most images that are named with a finding."""
_MARKS = re.compile(r"[\\`*_\[\]<>#|~$&!]")
_LINKS = re.compile(r"@|#(?=\d)|(?<=\bGH)-(?=\d)|:(?=//|[\w+-]+:)|www(?=\.)", re.IGNORECASE)


def render_summary(diagnosis: Diagnosis) -> str:
    """Writes the result, the change since the baseline, the worst pairs and the findings as GitHub Markdown.

    The summary always fits into a comment. A section that does not fit is left out, and the summary names it.
    """
    facts = _facts(diagnosis)
    template = _environment().get_template("summary.md.j2")
    shown: list[str] = []
    for section in SECTIONS:
        if len(template.render(facts, shown=[*shown, section])) <= LIMIT:
            shown.append(section)
    return formats.plain(template.render(facts, shown=shown))


def render_findings(diagnosis: Diagnosis) -> str:
    """Writes the findings as a list in Markdown, most severe first, with their effects."""
    lines = _environment().get_template("findings.md.j2").render(findings=diagnosis.findings, first_images=first_images)
    return formats.plain(f"{findings.sentence(diagnosis)}\n\n{lines}")


def _facts(diagnosis: Diagnosis) -> dict[str, Any]:
    compared = diagnosis.comparison
    rows = comparison.class_rows(diagnosis, compared) if compared else []
    return {
        "d": diagnosis,
        "marker": MARKER,
        "sections": SECTIONS,
        "failed": [Caution("Gate failed", gate.title) for gate in failed_gates(diagnosis)][:_CAUTIONS],
        "cautions": cautions(diagnosis)[:_CAUTIONS],
        "problem": problem(diagnosis),
        "sentence": verdict_sentence(diagnosis),
        "estimates": estimates.sentence(diagnosis),
        "compared": compared,
        "conclusion": comparison.sentence(compared, diagnosis.test.accuracy) if compared else None,
        "interval": comparison.interval_text(compared) if compared else None,
        "evidence": comparison.evidence(compared, diagnosis.test.size) if compared else None,
        "base_loss": comparison.base_loss(compared, diagnosis.test) if compared else None,
        "calibration_change": _change(compared.base_calibration_error, diagnosis.calibration.error)
        if compared
        else None,
        "classes": [row for row in comparison.most_changed(rows, _ROWS) if row.change],
        "changes": comparison.changes(compared) if compared else [],
        "pairs": diagnosis.confused_pairs[:_ROWS],
        "findings_sentence": findings.sentence(diagnosis),
        "findings": diagnosis.findings,
        "first_images": first_images,
        "checks": findings.checks(diagnosis),
    }


def first_images(finding: Finding) -> str | None:
    """The first images that a finding shows, in words, or `None` if it shows none."""
    shown = [each.image for each in finding.exhibits if each.image][:_IMAGES]
    parts = {
        part: ", ".join(str(image.index) for image in shown if image.part == part)
        for part in dict.fromkeys(image.part for image in shown)
    }
    return "; ".join(f"{indices} of the {findings.PARTS[part]} set" for part, indices in parts.items()) or None


def _change(before: float | None, now: float | None) -> float | None:
    return None if before is None or now is None else now - before


def markdown(text: str, limit: int = formats.NAME_LIMIT) -> str:
    r"""Escapes text from outside for one line of Markdown: no markup, no mentions, no links.

    >>> markdown("a|b *c*")
    'a\\|b \\*c\\*'
    """
    return _escaped(str(formats.legible(formats.short(text, limit))))


def _escaped(text: str) -> str:
    # GitHub looks for mentions, issues and addresses after it has removed the escapes; a zero-width space prevents it.
    return _MARKS.sub(r"\\\g<0>", _LINKS.sub("\\g<0>\u200b", text))


def markdown_prose(text: str, limit: int = formats.NAME_LIMIT) -> str:
    r"""Escapes the text of a finding for one line of Markdown. What is in backticks stays code.

    >>> markdown_prose("Set `epochs=20`, not *this* or `that", 80)
    'Set `epochs=20`, not \\*this\\* or \\`that'
    """
    parts = CODE.split(str(formats.legible(formats.short(text, limit))))  # every second one is code
    return "".join(_code(part) if place % 2 else _escaped(part) for place, part in enumerate(parts))


def _code(text: str) -> str:
    # Nothing can be escaped in code. A bot must not find the marker there.
    return _escaped(f"`{text}`") if "<" in text else f"`{text}`"


@cache
def _environment() -> Environment:
    # Not HTML: `md` escapes for Markdown, and escaping twice would show the escapes.
    environment = Environment(
        loader=FileSystemLoader(templates_root()),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update({function.__name__: function for function in FILTERS})
    environment.filters.update(md=markdown, mdprose=markdown_prose)
    return environment
