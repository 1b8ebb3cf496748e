"""The run in a few lines of Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lrdiag import formats
from lrdiag.errors import SettingsError
from lrdiag.record.facts import Diagnosis, Finding
from lrdiag.report import privacy
from lrdiag.report.gates import failed_gates, gates_in_words
from lrdiag.report.sections import comparison, estimates, findings
from lrdiag.report.sections.verdict import (
    cautions,
    change,
    learning_rate_figure,
    problem,
    result_sentence,
)
from lrdiag.report.telling import telling
from lrdiag.report.templates import CODE, FILTERS, templates_root

MARKER = "<!-- lrdiag summary -->"
"""The first line, by which a bot finds its earlier comment."""
LIMIT = 60_000
"""Characters. GitHub allows 65,536 in a comment, so workflows can add lines."""
SECTIONS = ("findings", "baseline", "classes", "images", "confused pairs", "settings")
"""Sections that may be left out if the summary is too long, most important first."""
_ROWS = 5
_CAUTIONS = 10
_NOTES = 10
_COMMIT = re.compile(r"[0-9a-f]{4,40}\+?")
_ADDRESS = re.compile(r"https?://[\w.:/?&=%+~#@-]+")
_IMAGES = 5
"""Most images that are named with a finding."""
_MARKS = re.compile(r"[\\`*_\[\]<>#|~$&!]")
_LINKS = re.compile(r"@|#(?=\d)|(?<=\bGH)-(?=\d)|:(?=//|[\w+-]+:)|www(?=\.)", re.IGNORECASE)


def render_summary(diagnosis: Diagnosis, page_url: str | None = None) -> str:
    """Writes verdict, change, findings and the images to look at first as GitHub Markdown.

    The summary always fits into a comment. A section that does not fit is left out, and the summary names it.

    Args:
        diagnosis: The facts.
        page_url: Where the page can be opened, if that is known.

    Raises:
        SettingsError: If `page_url` is not an address.
    """
    if page_url is not None and not _ADDRESS.fullmatch(page_url):
        raise SettingsError(f"The address of the page must begin with http:// or https://. Received: {page_url!r}")
    facts = _facts(diagnosis) | {"page_url": page_url}
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
    rows = [row for row in comparison.class_rows(diagnosis, compared) if row.change] if compared else []
    urgent = [each for each in diagnosis.outstanding if each.severity != "note"]
    return {
        "d": diagnosis,
        "marker": MARKER,
        "sections": SECTIONS,
        "heading": _heading(diagnosis),
        "lines": list(_lines(diagnosis)),
        "compared": compared,
        "interval": comparison.interval_text(compared) if compared else None,
        "evidence": comparison.evidence(compared, diagnosis.test.size) if compared else None,
        "base_loss": comparison.base_loss(compared, diagnosis.test) if compared else None,
        "calibration_change": _change(compared.base_calibration_error, diagnosis.calibration.error)
        if compared
        else None,
        "worse": [row for row in rows if (row.change or 0) < 0][:_ROWS],
        "better": sorted([row for row in rows if (row.change or 0) > 0], key=lambda row: -(row.change or 0))[:_ROWS],
        "changes": comparison.changes(compared) if compared else [],
        "pairs": diagnosis.confused_pairs[:_ROWS],
        "findings_sentence": findings.sentence(diagnosis),
        "urgent": urgent,
        "others": [each for each in diagnosis.findings if each not in urgent],
        "first_images": first_images,
        "first": telling(diagnosis),
        "gates": gates_in_words(diagnosis),
        "checks": findings.checks(diagnosis),
        "rate": _rate(diagnosis),
        "commit": _known_commit(diagnosis.git_commit),
        "page_contents": _contents(diagnosis),
    }


def _heading(diagnosis: Diagnosis) -> str:
    """What a reviewer needs to know first: a failed gate, an error, the change, or the result."""
    failed, found, compared = failed_gates(diagnosis), problem(diagnosis), diagnosis.comparison
    if failed:
        titles = "; ".join(markdown(gate.title, 160) for gate in failed[:2])
        more = f"; and {formats.count(len(failed) - 2)} more" if len(failed) > 2 else ""
        return f"❌ {formats.plural(len(failed), 'gate')} failed. {titles}{more}"
    if found:
        return f"❌ {markdown_prose(found.title, 300)}"
    if compared:
        sign = "⚠️" if compared.conclusion == "worse" else "✅"
        conclusion = f"{compared.conclusion.capitalize()}{_THAN[compared.conclusion]} the baseline"
        return f"{sign} {conclusion}: {formats.points(compared.difference, digits=2)} points"
    return f"{'✅ ' if diagnosis.gates else ''}{markdown(result_sentence(diagnosis), 300)}"


_THAN = {"better": " than", "worse": " than", "no detectable difference": " from"}


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    """The first lines under the heading: what to do, the change, the result, and reasons not to trust it."""
    found, compared = problem(diagnosis), diagnosis.comparison
    if found:
        title = f"**{markdown_prose(found.title, 300)}** " if failed_gates(diagnosis) else ""
        yield f"{title}*What to do:* {markdown_prose(found.advice, 600)}"
    for caution in cautions(diagnosis)[:_CAUTIONS]:
        yield f"> **{markdown(caution.title, 80)}:** {markdown_prose(caution.text, 400)}"
    if compared:
        described = change(compared)
        yield f"**{described.conclusion}:** {described.figures}.{_commits(diagnosis)}"
    if found or compared or failed_gates(diagnosis):  # otherwise the heading says it
        trusted = "Do not trust the result: " if found else ""
        yield f"{trusted}{markdown(result_sentence(diagnosis, with_change=False), 300)}."
    if estimated := estimates.sentence(diagnosis):
        yield markdown(estimated, 1000)
    if left_out := privacy.sentence(diagnosis):
        yield left_out
    yield from (markdown(note, 400) for note in diagnosis.notes[:_NOTES])


def _commits(diagnosis: Diagnosis) -> str:
    """The commits of both runs, as far as they are known."""
    compared = diagnosis.comparison
    commits = _known_commit(compared.base_commit if compared else None), _known_commit(diagnosis.git_commit)
    if not any(commits):
        return ""
    base, head = (each or "unknown" for each in commits)
    return f" `base@{base} → head@{head}`"


def _known_commit(commit: str | None) -> str | None:
    """The commit, unless it is something else, which might be markup."""
    return commit if commit and _COMMIT.fullmatch(commit) else None


def _rate(diagnosis: Diagnosis) -> str | None:
    used = learning_rate_figure(diagnosis)
    return f"Learning rate: {used.value} ({used.detail})" if used else None


def _contents(diagnosis: Diagnosis) -> str:
    """What the page shows beyond the summary."""
    if not diagnosis.misclassified.count:
        return ""
    if "images" in diagnosis.left_out:
        return " shows the heatmaps of the misclassified images" if diagnosis.heatmaps.count else ""
    return f" shows the misclassified images{' with their heatmaps' if diagnosis.heatmaps.count else ''}"


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
