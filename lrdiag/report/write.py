"""The files of the page and the summary, and writing them again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lrdiag.record import exchange
from lrdiag.record import folder as run_folder
from lrdiag.record.contents import beside_the_page
from lrdiag.record.facts import Run
from lrdiag.report.page import lay_out_page
from lrdiag.report.privacy import reduced
from lrdiag.report.summary import render_summary
from lrdiag.report.summary_picture import shows, summary_picture
from lrdiag.vocabulary import AssetsName

PAGE_URL_VARIABLE = "LRDIAG_PAGE_URL"
"""Environment variable with the address of the page, which the summary links to."""


def page_files(
    folder: Path,
    run: Run,
    *,
    assets: AssetsName = "inline",
    templates: Path | None = None,
    images: bool = True,
    file_names: bool = True,
) -> dict[str, str | bytes]:
    """Returns report.html, the files of the folder `assets` if requested, summary.md and summary.png, by name.

    Args:
        folder: The run folder. If its summary.png shows the run already, it is not drawn again.
        run: The run.
        assets: As in `render_page`.
        templates: As in `render_page`.
        images: Whether page and summary show images.
        file_names: Whether they have names and paths of files.

    Raises:
        LrdiagError: As `render_page` does.
    """
    run = reduced(run, images=images, file_names=file_names)
    page = lay_out_page(run, assets=assets, templates=templates)
    picture = folder / run_folder.SUMMARY_PICTURE
    return {
        **{f"{run_folder.ASSETS}/{name}": content for name, content in page.assets.items()},
        run_folder.PAGE: page.html,
        run_folder.SUMMARY: render_summary(run.diagnosis, os.environ.get(PAGE_URL_VARIABLE) or None),
        run_folder.SUMMARY_PICTURE: picture.read_bytes() if shows(picture, run) else summary_picture(run),
    }


def write_page(folder: Path, run: Run, **page: Any) -> Run:
    """Writes the page, the facts and the pictures of the run in a folder again. Its tables and its model are kept.

    Example:
        ```python
        folder = Path("lrdiag-report")
        write_page(folder, reading.load(folder), assets="folder")
        ```

    Args:
        folder: The run folder. It must exist.
        run: The run.
        **page: Options of `page_files`. Files that an earlier page left in the folder `assets` are removed.

    Returns:
        The run as it was saved.

    Raises:
        LrdiagError: As `render_page` does, or if the folder cannot be written.
    """
    return exchange.save(folder, run, page=page_files(folder, run, **page), kept=beside_the_page(folder))
