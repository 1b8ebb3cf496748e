"""The page: a finished run as one HTML file that asks for nothing else, or as a file with a folder beside it."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import quote

from markupsafe import Markup

from lrdiag.errors import require_choice
from lrdiag.record.facts import Run
from lrdiag.report.pictures.tiles import MEDIA_TYPES, Layer
from lrdiag.report.sections import (
    classes,
    comparison,
    confidence,
    confusion,
    data,
    evolution,
    findings,
    learning_rate,
    misclassified,
    reproduce,
    training,
    verdict,
)
from lrdiag.report.templates import foreign, html_environment

Assets = Literal["inline", "folder"]
"""Whether the page carries everything within itself, or finds it in the folder `ASSETS` beside it."""
ASSETS = "assets"
_FOLDER_POLICY = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'"


class Section(NamedTuple):
    """A part of the page: its anchor and template, its heading, and what computes its content; `None`: left out."""

    key: str
    title: str
    build: Callable[[Run], object]


SECTIONS = (
    Section("findings", "Findings", findings.build),
    Section("comparison", "Comparison", comparison.build),
    Section("learning-rate", "Learning rate", learning_rate.build),
    Section("training", "Training", training.build),
    Section("confusion", "Confusion", confusion.build),
    Section("misclassified", "Mistakes", misclassified.build),
    Section("evolution", "Evolution", evolution.build),
    Section("classes", "Classes", classes.build),
    Section("confidence", "Confidence", confidence.build),
    Section("data", "Data", data.build),
    Section("reproduce", "Reproduce", reproduce.build),
)


@dataclass(frozen=True)
class Page:
    """A page and the files of its folder, by name; there are none where the page is one file."""

    html: str
    assets: dict[str, bytes]


def render_page(run: Run, *, assets: Assets = "inline", templates: Path | None = None) -> str:
    """The report of a run as one HTML document.

    Example:
        ```python
        page = render_page(run_folder.load(Path("lrdiag-report")))
        ```

    Args:
        run: The facts of the run and the bytes of its picture files.
        assets: Where styles, script and pictures are: within the document, or in a folder beside it, which
            `lay_out_page` fills.
        templates: A folder of templates that replace ours.

    Returns:
        The document. The same run gives the same text, byte for byte.

    Raises:
        RunFolderError: If a picture file that the facts name is missing or broken.
        TemplateError: If the templates are missing or broken.
        SettingsError: If `assets` is anything else.
    """
    return lay_out_page(run, assets=assets, templates=templates).html


def lay_out_page(run: Run, *, assets: Assets = "inline", templates: Path | None = None) -> Page:
    """The report of a run with the files that it needs; arguments and errors are those of `render_page`."""
    require_choice("assets", assets, get_args(Assets))
    content = {section.key: section.build(run) for section in SECTIONS}
    facts: dict[str, Any] = {
        "diagnosis": run.diagnosis,
        "verdict": verdict.build(run),
        "sections": [section for section in SECTIONS if content[section.key] is not None],
        "content": content,
    }
    pictures = _Pictures(run, assets)
    environment = html_environment(templates)
    with foreign(templates):
        style = environment.get_template("report.css").render(facts, pictures=pictures)
        script = environment.get_template("report.js").render(facts)
        html = environment.get_template("report.html.j2").render(
            facts,
            assets=None if assets == "inline" else ASSETS,
            policy=Markup(_policy(script) if assets == "inline" else _FOLDER_POLICY),
            style=Markup(style),
            script=Markup(script),
        )
    if assets == "inline":
        return Page(html, {})
    return Page(html, pictures.named | {"report.css": style.encode(), "report.js": script.encode()})


class _Pictures:
    """The picture files of a page, as its stylesheet names them."""

    def __init__(self, run: Run, assets: Assets) -> None:
        self._run, self._assets = run, assets
        self.named: dict[str, bytes] = {}
        self.farthest = 0

    def address(self, layer: Layer) -> Markup:
        """What belongs into `url()`; no foreign text: base64, or a file name in percent-encoding."""
        picture = self.named[layer.file] = self._run.pictures[layer.file]
        self.farthest = max(self.farthest, *layer.cells)
        if self._assets == "folder":
            return Markup(quote(layer.file))
        return Markup(f"data:{MEDIA_TYPES[picture[:4]]};base64,{b64encode(picture).decode('ascii')}")


def _policy(script: str) -> str:
    """What the page may load and run: what it carries."""
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
