"""Writing the page and the summary into a run folder."""

from __future__ import annotations

from pathlib import Path

from lrdiag import run_folder
from lrdiag.records import Run
from lrdiag.report.page import render_page
from lrdiag.report.summary import render_summary


def write_page(folder: Path, run: Run) -> None:
    """Writes report.html and summary.md."""
    run_folder.write(folder / "report.html", render_page(run))
    run_folder.write(folder / "summary.md", render_summary(run.diagnosis))
