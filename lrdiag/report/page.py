"""The page: a run as one HTML file that loads nothing, or as a file with a folder beside it."""

from __future__ import annotations

import dataclasses
import hashlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from lrdiag import palette
from lrdiag.errors import require_choice
from lrdiag.record.facts import Run
from lrdiag.record.pictures import SheetName
from lrdiag.report.pictures.tiles import MEDIA_TYPES, Layer
from lrdiag.report.sections import (
    classes,
    comparison,
    confidence,
    confusion,
    curves,
    data,
    evolution,
    findings,
    first,
    learning_rate,
    misclassified,
    reproduce,
    training,
    verdict,
)
from lrdiag.report.templates import foreign, html_environment
from lrdiag.vocabulary import ASSETS, AssetsName

ASSETS_FOLDER = "assets"
_FOLDER_POLICY = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'"


class Section(NamedTuple):
    """A part of the page.

    Attributes:
        key: Its anchor, and the name of its template.
        title: Its heading.
        build: Computes its content from a run; `None` leaves the section out.
        pictures: The sheets that it shows. `build` receives no others.
        beside: Whether it stands beside the section before it where there is room.
    """

    key: str
    title: str
    build: Callable[[Run], object]
    pictures: tuple[SheetName, ...] = ()
    beside: bool = False


SECTIONS = (
    Section("findings", "Findings", findings.build, findings.PICTURES),
    Section("first", "Look at these first", first.build, first.PICTURES, beside=True),
    Section("comparison", "Comparison", comparison.build, comparison.PICTURES),
    Section("confusion", "Confusion", confusion.build),
    Section("classes", "Classes", classes.build, classes.PICTURES, beside=True),
    Section("curves", "Curves of two classes", curves.build),
    Section("confidence", "Confidence", confidence.build),
    Section("misclassified", "Mistakes", misclassified.build, misclassified.PICTURES),
    Section("evolution", "Evolution", evolution.build, evolution.PICTURES),
    Section("training", "Training", training.build),
    Section("learning-rate", "Learning rate", learning_rate.build),
    Section("data", "Data", data.build, data.PICTURES),
    Section("reproduce", "Reproduce", reproduce.build),
)


@dataclass(frozen=True)
class Page:
    """A page and the files of its folder, by name; without a folder there are none."""

    html: str
    assets: dict[str, bytes]


def render_page(run: Run, *, assets: AssetsName = "inline", templates: Path | None = None) -> str:
    """Renders the report of a run as one HTML document.

    Example:
        ```python
        page = render_page(reading.load(Path("lrdiag-report")))
        ```

    Args:
        run: The run.
        assets: Where style, script and pictures are: in the document, or in a folder beside it, which `lay_out_page`
            fills.
        templates: A folder of templates that replace those of lrdiag.

    Returns:
        The document. The same run gives the same text, byte for byte.

    Raises:
        RunFolderError: If a picture file is missing or broken.
        TemplateError: If the templates are missing or broken.
        SettingsError: If `assets` has another value.
    """
    return lay_out_page(run, assets=assets, templates=templates).html


def lay_out_page(run: Run, *, assets: AssetsName = "inline", templates: Path | None = None) -> Page:
    """Renders the report of a run with the files that it needs. Arguments and errors are those of `render_page`."""
    require_choice("assets", assets, ASSETS)
    content = {
        section.key: section.build(dataclasses.replace(run, pictures=run.pictures.only(section.pictures)))
        for section in SECTIONS
    }
    sections = [section for section in SECTIONS if content[section.key] is not None]
    facts: dict[str, Any] = {
        "diagnosis": run.diagnosis,
        "verdict": verdict.build(run),
        "sections": sections,
        "rows": _rows(sections),
        "content": content,
        "palette": palette,
    }
    pictures = _PictureFiles(run.pictures.files, assets)
    environment = html_environment(templates)
    with foreign(templates):
        style = environment.get_template("report.css").render(facts, pictures=pictures)
        script = environment.get_template("report.js").render(facts)
        html = environment.get_template("report.html.j2").render(
            facts,
            assets=None if assets == "inline" else ASSETS_FOLDER,
            policy=Markup(_policy(script) if assets == "inline" else _FOLDER_POLICY),
            style=Markup(style),
            script=Markup(script),
        )
    if assets == "inline":
        return Page(html, {})
    return Page(html, pictures.named | {"report.css": style.encode(), "report.js": script.encode()})


def _rows(sections: list[Section]) -> list[list[Section]]:
    """The sections with those that stand beside them."""
    rows: list[list[Section]] = []
    for section in sections:
        if section.beside and rows:
            rows[-1].append(section)
        else:
            rows.append([section])
    return rows


class _PictureFiles:
    """The picture files of a page, as its stylesheet names them."""

    def __init__(self, files: dict[str, bytes], assets: AssetsName) -> None:
        self._files, self._assets = files, assets
        self.named: dict[str, bytes] = {}
        self.farthest = 0

    def address(self, layer: Layer) -> Markup:
        """Returns the content of `url()`: base64, or a file name in percent-encoding."""
        picture = self.named[layer.file] = self._files[layer.file]
        self.farthest = max(self.farthest, *layer.cells)
        if self._assets == "folder":
            return Markup(quote(layer.file))
        return Markup(f"data:{MEDIA_TYPES[picture[:4]]};base64,{b64encode(picture).decode('ascii')}")


def _policy(script: str) -> str:
    """Returns the Content-Security-Policy of a page that loads nothing and runs one script."""
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
