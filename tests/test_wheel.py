"""The installed wheel contains the templates and renders a page outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python(*arguments: str | Path, **environment: str) -> str:
    process = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=environment.pop("cwd", None),
        env={**os.environ, **environment},
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.slow
def test_a_page_renders_from_the_installed_wheel_outside_the_checkout(tmp_path: Path) -> None:
    pip = ("-m", "pip", "--disable-pip-version-check")
    python(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("lrdiag-*-py3-none-any.whl")
    installed = tmp_path / "site"
    python(*pip, "install", "--no-deps", "--target", installed, wheel)
    away = {"PYTHONPATH": str(installed), "cwd": str(tmp_path)}
    assert Path(python("-c", "import lrdiag; print(lrdiag.__file__)", **away).strip()).is_relative_to(installed)
    python("-c", "from lrdiag.report.documentation import how_detected; assert how_detected()", **away)
    small = ("--limit-train", "200", "--limit-test", "50", "--epochs", "1", "--batch-size", "16")
    python("-m", "lrdiag", "train-and-report", "--data", "digits", *small, "--no-open", "--out", "run", **away)
    page = tmp_path / "run" / "report.html"
    page.unlink()
    python("-m", "lrdiag", "report", "run", **away)
    assert page.read_text().startswith("<!doctype html>")
