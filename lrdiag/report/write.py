"""Writes the page and the summary into a run folder."""

from __future__ import annotations

import os
from pathlib import Path

from lrdiag.record import folder as run_folder
from lrdiag.record.facts import Run
from lrdiag.report.page import ASSETS_FOLDER, lay_out_page
from lrdiag.report.summary import render_summary
from lrdiag.report.summary_picture import shows, summary_picture
from lrdiag.vocabulary import AssetsName

PAGE_URL_VARIABLE = "LRDIAG_PAGE_URL"
"""Environment variable with the address of the page, which the summary links to."""
_CONTENTS = "contents.txt"
"""Lists the files that lrdiag wrote to the folder of assets, so that no other file is removed."""


def write_page(folder: Path, run: Run, *, assets: AssetsName = "inline", templates: Path | None = None) -> None:
    """Writes report.html, the folder `assets` if requested, summary.md and summary.png.

    The run itself, its facts and pictures, is not changed. Charts that lrdiag 0.1 kept in the folder are removed.

    Example:
        ```python
        folder = Path("lrdiag-report")
        write_page(folder, run_folder.load(folder), assets="folder")
        ```

    Args:
        folder: The run folder. It must exist.
        run: The run.
        assets: As in `render_page`. Files that an earlier page left in the folder `assets` are removed.
        templates: As in `render_page`.

    Raises:
        LrdiagError: As `render_page` does, or if the folder cannot be written.
    """
    page = lay_out_page(run, assets=assets, templates=templates)
    if page.assets:
        run_folder.create(folder / ASSETS_FOLDER)
    for name, content in page.assets.items():
        run_folder.write(folder / ASSETS_FOLDER / name, content)
    run_folder.write(folder / run_folder.PAGE, page.html)
    run_folder.write(
        folder / run_folder.SUMMARY, render_summary(run.diagnosis, os.environ.get(PAGE_URL_VARIABLE) or None)
    )
    if not shows(folder / run_folder.SUMMARY_PICTURE, run):
        run_folder.write(folder / run_folder.SUMMARY_PICTURE, summary_picture(run))
    _clear_up(folder / ASSETS_FOLDER, set(page.assets))
    for name in run_folder.CHARTS_OF_0_1:
        (folder / name).unlink(missing_ok=True)


def _clear_up(folder: Path, names: set[str]) -> None:
    """Removes the files of an earlier page that this page does not have, and lists the files of this page."""
    contents = folder / _CONTENTS
    earlier = contents.read_text(encoding="utf-8").splitlines() if contents.is_file() else []
    for name in {*earlier, _CONTENTS} - names:
        # The list may have been edited. It must not point to another folder.
        if name == Path(name).name and (folder / name).is_file():
            (folder / name).unlink()
    if names:
        run_folder.write(contents, "\n".join(sorted(names)) + "\n")
    elif folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
