"""The summary of a job on GitHub Actions."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrdiag.cli.github import append_step_summary


@pytest.fixture
def summary(tmp_path: Path) -> Path:
    (tmp_path / "summary.md").write_text("**78.6\u00a0%**\n", "utf-8")
    return tmp_path / "summary.md"


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that GitHub shows below the job."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step"))
    return tmp_path / "step"


@pytest.mark.parametrize("name", [None, ""])
def test_without_a_summary_file_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    if name is not None:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", name)
    assert append_step_summary(tmp_path / "no-such-file.md") is None
    assert list(tmp_path.iterdir()) == []


def test_the_summary_is_appended(summary: Path, shown: Path) -> None:
    shown.write_text("tests: 3 passed", "utf-8")
    assert append_step_summary(summary) is None
    assert append_step_summary(summary) is None
    assert shown.read_text("utf-8") == "tests: 3 passed\n**78.6\u00a0%**\n\n**78.6\u00a0%**\n"


def test_a_missing_file_is_created(summary: Path, shown: Path) -> None:
    assert append_step_summary(summary) is None
    assert shown.read_text("utf-8") == "\n**78.6\u00a0%**\n"


@pytest.mark.parametrize(("held", "fits"), [(1024 * 1024 - 13, True), (1024 * 1024 - 12, False)])
def test_nothing_is_appended_beyond_the_limit_of_github(summary: Path, shown: Path, held: int, fits: bool) -> None:
    assert len(summary.read_bytes()) + 1 == 13
    shown.write_bytes(b"x" * held)
    warning = append_step_summary(summary)
    assert (warning is None) == fits
    assert shown.stat().st_size == held + 13 * fits
    if warning:
        assert "GITHUB_STEP_SUMMARY: GitHub allows 1 MiB per step, and 1,048,564 bytes are used" in warning


def test_an_unwritable_file_gives_a_warning(summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    warning = append_step_summary(summary)
    assert warning == f"The summary can't be appended to GITHUB_STEP_SUMMARY. Received: {tmp_path} (Is a directory)"
