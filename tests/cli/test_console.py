"""Progress on a terminal and in a log."""

from __future__ import annotations

import re

import pytest

from lrdiag.cli.console import ConsoleProgress


def run_a_stage(quiet: bool = False) -> None:
    progress = ConsoleProgress(quiet)
    with progress.stage("Reading [images]", 3, "images") as stage:
        stage.advance(2, "half [bold]way[/]")
        stage.advance(2, "done")
    progress.warn("mind [this]")


def test_a_log_has_one_line_per_stage(capsys: pytest.CaptureFixture[str]) -> None:
    run_a_stage()
    assert re.fullmatch(r"Reading \[images\]: \d+\.\d s · done\nWarning: mind \[this\]\n", capsys.readouterr().err)


def test_quiet_shows_only_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    run_a_stage(quiet=True)
    assert capsys.readouterr().err == "Warning: mind [this]\n"


def test_a_terminal_shows_a_bar_that_ends_at_its_total(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    run_a_stage()
    seen = capsys.readouterr().err
    assert "━" in seen
    assert "4/3" not in seen


def test_no_color_is_honoured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    run_a_stage()
    assert not re.search(r"\x1b\[\d*;?3\d", capsys.readouterr().err)
