from __future__ import annotations

from typing import Any

import pytest
from markupsafe import Markup

from lrdiag.records import Run
from lrdiag.report.chart_cache import drawn_once


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


def test_a_file_that_is_no_chart_is_replaced(run: Run) -> None:
    run.pictures["chart"] = b"\xff\xfe"
    assert drawn_once(run, "chart", [1.0], lambda: Markup("<svg></svg>")) == "<svg></svg>"
