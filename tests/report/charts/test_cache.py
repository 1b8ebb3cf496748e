"""A chart is drawn if its numbers are new, and the cache is used only if no one else can write to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.variants import storable
from markupsafe import Markup

from lrdiag.record import exchange
from lrdiag.record.facts import Run
from lrdiag.report.charts import cache
from lrdiag.report.charts.cache import drawn
from lrdiag.report.page import render_page


class Pen:
    """Draws, and counts how often."""

    def __init__(self, chart: str = "<svg>é</svg>") -> None:
        self.chart, self.drawings = Markup(chart), 0

    def __call__(self) -> Markup:
        self.drawings += 1
        return self.chart


@pytest.fixture(autouse=True)
def charts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the charts."""
    monkeypatch.setenv("LRDIAG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "charts"


@pytest.fixture
def pen() -> Pen:
    return Pen()


def is_drawn_again(pen: Pen, *, name: str = "loss", numbers: object = (1.0,)) -> bool:
    """Whether a chart that was drawn before is drawn again."""
    before = pen.drawings
    assert drawn(name, numbers, pen) == pen.chart
    return pen.drawings > before


def test_a_chart_is_drawn_once(pen: Pen) -> None:
    assert is_drawn_again(pen)
    assert not is_drawn_again(pen)
    assert isinstance(drawn("loss", (1.0,), pen), Markup)


def test_other_numbers_and_other_charts_are_drawn_again(pen: Pen) -> None:
    assert is_drawn_again(pen)
    assert is_drawn_again(pen, numbers=(2.0,))
    assert is_drawn_again(pen, name="accuracy")


def test_another_version_draws_again(pen: Pen, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_drawn_again(pen)
    monkeypatch.setattr(cache, "version", lambda _package: "other")
    assert is_drawn_again(pen)


def test_other_code_draws_again(pen: Pen, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_drawn_again(pen)
    monkeypatch.setattr(cache, "_code", lambda: "other")
    assert is_drawn_again(pen)


def test_only_the_user_can_read_and_write_the_cache(pen: Pen, charts: Path) -> None:
    drawn("loss", (1.0,), pen)
    (chart,) = charts.iterdir()
    assert (charts.stat().st_mode & 0o777, chart.stat().st_mode & 0o777) == (0o700, 0o600)


def break_by_cutting(chart: Path) -> None:
    chart.write_bytes(chart.read_bytes()[:-3])


def break_by_editing(chart: Path) -> None:
    chart.write_bytes(chart.read_bytes().replace(b"<svg>", b"<script>"))


def break_by_emptying(chart: Path) -> None:
    chart.write_bytes(b"")


def break_by_sharing(chart: Path) -> None:
    chart.chmod(0o666)


def break_by_linking(chart: Path) -> None:
    elsewhere = chart.parents[2] / "elsewhere"
    chart.rename(elsewhere)
    chart.symlink_to(elsewhere)


@pytest.mark.parametrize(
    "break_it", [break_by_cutting, break_by_editing, break_by_emptying, break_by_sharing, break_by_linking]
)
def test_a_broken_chart_is_drawn_again_and_replaced(pen: Pen, charts: Path, break_it: Callable[[Path], None]) -> None:
    drawn("loss", (1.0,), pen)
    (chart,) = charts.iterdir()
    break_it(chart)
    assert is_drawn_again(pen)
    assert not is_drawn_again(pen)


def test_a_folder_that_others_can_write_to_is_not_used(pen: Pen, charts: Path) -> None:
    drawn("loss", (1.0,), pen)
    charts.chmod(0o777)
    assert is_drawn_again(pen)
    assert is_drawn_again(pen)
    charts.chmod(0o755)
    assert not is_drawn_again(pen), "others may read it"


def test_a_folder_of_another_user_is_not_used(pen: Pen, charts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn("loss", (1.0,), pen)
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert is_drawn_again(pen)


def test_a_link_in_place_of_the_folder_is_not_used(pen: Pen, charts: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    charts.parent.mkdir()
    charts.symlink_to(tmp_path / "elsewhere")
    assert is_drawn_again(pen)
    assert is_drawn_again(pen)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_an_unwritable_cache_is_not_an_error(pen: Pen, charts: Path) -> None:
    charts.parent.write_text("a file")
    assert is_drawn_again(pen)
    assert is_drawn_again(pen)


def test_without_a_home_folder_there_is_no_cache(pen: Pen, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Path:
        raise RuntimeError("no home")

    monkeypatch.delenv("LRDIAG_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", refuse)
    assert is_drawn_again(pen)
    assert is_drawn_again(pen)


@pytest.mark.parametrize(
    ("platform", "variable", "folder"),
    [
        ("linux", "XDG_CACHE_HOME", "caches/lrdiag"),
        ("linux", None, ".cache/lrdiag"),
        ("darwin", "XDG_CACHE_HOME", "Library/Caches/lrdiag"),
        ("win32", "LOCALAPPDATA", "caches/lrdiag"),
        ("win32", None, "AppData/Local/lrdiag"),
    ],
)
def test_the_cache_is_where_the_system_keeps_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variable: str | None, folder: str
) -> None:
    for name in ("LRDIAG_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "caches"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache._cache_folder() == tmp_path / folder


def test_the_oldest_charts_are_removed(charts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MOST_BYTES", 3 * 1100)
    pens = [Pen(f"<svg>{number}{'.' * 1000}</svg>") for number in range(5)]
    for number, pen in enumerate(pens):
        drawn("loss", (number,), pen)
        for age, chart in enumerate(sorted(charts.iterdir(), key=lambda file: -file.stat().st_mtime_ns)):
            os.utime(chart, (1000 - age, 1000 - age))
    assert len(list(charts.iterdir())) == 3
    assert [is_drawn_again(pen, numbers=(number,)) for number, pen in reversed(list(enumerate(pens)))] == (
        [False, False, False, True, True]
    )


def test_a_page_that_is_made_again_needs_no_matplotlib_and_does_not_change_the_run(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    run = storable(runs["ordinary"])
    page = render_page(run)
    folder = tmp_path / "run"
    folder.mkdir()
    exchange.save(folder, run)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    script = (
        "import sys, pathlib; from lrdiag.record import reading\n"
        "from lrdiag.report.page import render_page\n"
        "page = render_page(reading.load(pathlib.Path(sys.argv[1])))\n"
        "assert 'matplotlib' not in sys.modules\n"
        "sys.stdout.buffer.write(page.encode())"
    )
    again = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, check=False)
    assert again.stderr == b""
    assert again.stdout.decode() == page
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
