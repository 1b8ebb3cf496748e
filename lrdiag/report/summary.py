"""The run in a few lines of Markdown, for the text of a pull request."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lrdiag import formats
from lrdiag.records import Diagnosis
from lrdiag.report.sections import findings
from lrdiag.report.sections.verdict import cautions
from lrdiag.report.sections.verdict import verdict_sentence as verdict_sentence
from lrdiag.report.templates import FILTERS, templates_root

_PAIRS = 5
_FINDINGS = 10
_MARKS = re.compile(r"[\\`*_\[\]<>#|~$&!]")
_LINKS = re.compile(r"@|#(?=\d)|:(?=//)|www(?=\.)", re.IGNORECASE)


def render_summary(diagnosis: Diagnosis) -> str:
    """Writes verdict, figures, worst pairs and findings as GitHub Markdown, well below 65,536 characters."""
    ordered = findings.ordered(diagnosis.findings)
    template = _environment().get_template("summary.md.j2")
    return template.render(
        d=diagnosis,
        cautions=cautions(diagnosis)[:_FINDINGS],
        sentence=verdict_sentence(diagnosis),
        pairs=sorted(diagnosis.confused_pairs, key=lambda pair: -pair.count)[:_PAIRS],
        findings_sentence=findings.sentence(ordered),
        findings=ordered[:_FINDINGS],
        findings_left_out=len(ordered) - len(ordered[:_FINDINGS]),
    )


def markdown(text: str, limit: int = formats.NAME_LIMIT) -> str:
    r"""Foreign text on one line of Markdown: no mark has a meaning, nobody is mentioned, nothing is linked.

    >>> markdown("a|b *c*")
    'a\\|b \\*c\\*'
    """
    cleaned = str(formats.legible(formats.short(text, limit)))
    # GitHub looks for mentions, issues and addresses after it has undone the escapes: only a letter of no width helps.
    return _MARKS.sub(r"\\\g<0>", _LINKS.sub("\\g<0>\u200b", cleaned))


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
    environment.filters.update({function.__name__: function for function in FILTERS}, md=markdown)
    return environment
