"""What a notebook displays: a summary of the report, and the page if it is asked for."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from lrdiag.record.facts import Run
from lrdiag.report.pictures.cutting import Cells
from lrdiag.report.sections import findings, first, verdict
from lrdiag.report.templates import html_environment

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE = 96  # pixels of an image
_FINDINGS = 5
_QUALITY = 80


@dataclass(frozen=True)
class ShownPage:
    """The page of a report, as a notebook displays it.

    Attributes:
        page: The page in HTML.
    """

    page: str

    def _repr_html_(self) -> str:
        """Returns the page in an `iframe`, so that its style and the notebook's don't mix."""
        page = html.escape(self.page, quote=True)
        return f'<iframe srcdoc="{page}" title="lrdiag report" width="100%" height="800" style="border:0"></iframe>'

    def __repr__(self) -> str:
        return f"ShownPage({len(self.page):,} characters)"


def render_card(run: Run) -> str:
    """Writes verdict, figures, open findings and the images to look at first as HTML that a notebook can contain."""
    shown = run.diagnosis.outstanding
    return (
        html_environment()
        .get_template("notebook.html.j2")
        .render(
            verdict=verdict.build(run),
            sentence=findings.sentence(run.diagnosis),
            findings=shown[:_FINDINGS],
            more=len(shown[_FINDINGS:]),
            tiles=_tiles(run),
            side=_SIDE,
        )
    )


def _tiles(run: Run) -> list[tuple[first.Tile, list[str]]]:
    """The images to look at first, each with the addresses of its picture and of the heatmap over it."""
    chosen = first.build(run)
    if chosen is None:
        return []
    sheets = [run.pictures.sheets[name] for name in first.PICTURES if name in run.pictures.sheets]
    layers = [(Cells(run.pictures, sheet), {item: cell for cell, item in enumerate(sheet.shown)}) for sheet in sheets]
    places = {item.index: place for place, item in enumerate(run.diagnosis.misclassified.items)}
    return [
        (tile, [_address(cells.at(cell_of[places[tile.mistake.index]])) for cells, cell_of in layers])
        for tile in chosen.tiles
    ]


def _address(picture: Image) -> str:
    """The picture as a data URI, at most `_SIDE` pixels wide and high."""
    content = BytesIO()
    small = picture.convert("RGBA")
    small.thumbnail((_SIDE, _SIDE))
    small.save(content, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
