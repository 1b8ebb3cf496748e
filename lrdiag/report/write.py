"""The files of the page and the summary, and writing them again."""

from __future__ import annotations

from pathlib import Path

from lrdiag.record import exchange
from lrdiag.record import folder as run_folder
from lrdiag.record.contents import beside_the_page
from lrdiag.record.facts import Run
from lrdiag.report.page import lay_out_page
from lrdiag.report.summary import render_summary
from lrdiag.report.summary_picture import shows, summary_picture
from lrdiag.vocabulary import AssetsName


def page_files(
    folder: Path, run: Run, *, assets: AssetsName = "inline", templates: Path | None = None
) -> dict[str, str | bytes]:
    """Returns report.html, the files of the folder `assets` if requested, summary.md and summary.png, by name.

    Args:
        folder: The run folder. If its summary.png shows the run already, it is not drawn again.
        run: The run.
        assets: As in `render_page`.
        templates: As in `render_page`.

    Raises:
        LrdiagError: As `render_page` does.
    """
    page = lay_out_page(run, assets=assets, templates=templates)
    picture = folder / run_folder.SUMMARY_PICTURE
    return {
        **{f"{run_folder.ASSETS}/{name}": content for name, content in page.assets.items()},
        run_folder.PAGE: page.html,
        run_folder.SUMMARY: render_summary(run.diagnosis),
        run_folder.SUMMARY_PICTURE: picture.read_bytes() if shows(picture, run) else summary_picture(run),
    }


def write_page(folder: Path, run: Run, *, assets: AssetsName = "inline", templates: Path | None = None) -> Run:
    """Writes the page, the facts and the pictures of the run in a folder again. Its tables and its model are kept.

    Example:
        ```python
        folder = Path("lrdiag-report")
        write_page(folder, reading.load(folder), assets="folder")
        ```

    Args:
        folder: The run folder. It must exist.
        run: The run.
        assets: As in `render_page`. Files that an earlier page left in the folder `assets` are removed.
        templates: As in `render_page`.

    Returns:
        The run as it was saved.

    Raises:
        LrdiagError: As `render_page` does, or if the folder cannot be written.
    """
    page = page_files(folder, run, assets=assets, templates=templates)
    return exchange.save(folder, run, page=page, kept=beside_the_page(folder))
