"""A chart is drawn when its numbers are new, and at no other time."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

from lrdiag.record import folder as run_folder
from lrdiag.record.facts import Run
from lrdiag.report.charts.cache import drawn_once
from lrdiag.report.page import render_page


@pytest.fixture
def run() -> Run:
    anything: Any = None
    return Run(anything, {})


def test_a_chart_is_drawn_once(run: Run) -> None:
    drawings: list[int] = []

    def draw() -> Markup:
        drawings.append(1)
        return Markup("<svg></svg>")

    first = drawn_once(run, "chart", [1.0], draw)
    assert drawn_once(run, "chart", [1.0], draw) == first == "<svg></svg>"
    assert len(drawings) == 1


def test_other_numbers_are_drawn_anew(run: Run) -> None:
    drawn_once(run, "chart", [1.0], lambda: Markup("<svg>old</svg>"))
    assert drawn_once(run, "chart", [2.0], lambda: Markup("<svg>new</svg>")) == "<svg>new</svg>"


def test_another_version_draws_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_once(run, "chart", [1.0], lambda: Markup("<svg>old</svg>"))
    monkeypatch.setattr("lrdiag.report.charts.cache.version", lambda _package: "other")
    assert drawn_once(run, "chart", [1.0], lambda: Markup("<svg>new</svg>")) == "<svg>new</svg>"


def test_a_file_that_is_no_chart_is_replaced(run: Run) -> None:
    run.pictures["chart"] = b"\xff\xfe"
    assert drawn_once(run, "chart", [1.0], lambda: Markup("<svg></svg>")) == "<svg></svg>"


def test_a_page_that_is_made_again_needs_no_matplotlib(runs: dict[str, Run], tmp_path: Path) -> None:
    """Every chart comes back from the run folder, and is held to show these numbers."""
    ordinary = dataclasses.replace(runs["ordinary"], pictures=dict(runs["ordinary"].pictures))
    page = render_page(ordinary)
    assert set(run_folder.CHARTS) <= set(ordinary.pictures)
    run_folder.save(tmp_path, ordinary)
    assert run_folder.load(tmp_path) == ordinary
    script = (
        "import sys, pathlib; from lrdiag.record import folder as run_folder\n"
        "from lrdiag.report.page import render_page\n"
        "page = render_page(run_folder.load(pathlib.Path(sys.argv[1])))\n"
        "assert 'matplotlib' not in sys.modules\n"
        "sys.stdout.buffer.write(page.encode())"
    )
    again = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, check=False)
    assert again.stderr == b""
    assert again.stdout.decode() == page
