"""Run folders of others: what they contain leads nowhere else, and nothing is written before all of it is checked."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lrdiag.cli.app import main

RUN = Path(__file__).parents[1] / "record" / "runs" / "0.1" / "plain"
NAMES = sorted(path.name for path in RUN.iterdir())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def refused(*arguments: object) -> str:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    return result.stderr


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege, and there are no pipes in folders")
@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_no_files_are_named_and_nothing_is_written(
    run: Path, tmp_path: Path, name: str, kind: str
) -> None:
    (run / name).rename(tmp_path / "elsewhere")
    (run / name).symlink_to(tmp_path / "elsewhere") if kind == "link" else os.mkfifo(run / name)
    before = sorted(path.name for path in run.iterdir())
    for command in (("report", run), ("compare", RUN, run, "--out", tmp_path / "out"), ("compare", run, RUN)):
        assert f"{name} of a run folder must be a file" in refused(*command)
    assert sorted(path.name for path in run.iterdir()) == before
    assert not (tmp_path / "out").exists()


def test_the_folder_itself_may_be_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("run")
    assert invoke("report", tmp_path / "latest").exit_code == 0
    assert (run / "report.html").exists()


def test_a_file_of_another_name_is_neither_read_nor_copied(run: Path, tmp_path: Path) -> None:
    report = json.loads((run / "report.json").read_text("utf-8"))
    report["sheets"]["photographs"]["file"] = "conftest.py"
    (run / "report.json").write_text(json.dumps(report))
    (run / "misclassified.webp").rename(run / "conftest.py")
    message = refused("compare", RUN, run, "--out", tmp_path / "out")
    assert "Received: 'conftest.py' for the sheet 'mistakes'" in message
    assert not (tmp_path / "out").exists()


def test_a_postscript_file_is_not_opened(run: Path) -> None:
    (run / "misclassified.webp").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert "'misclassified.webp' as WebP or PNG" in refused("report", run)
    assert "'misclassified.webp' as WebP or PNG" in refused("compare", run, RUN)


def test_the_summary_shows_no_markup_of_the_run(run: Path) -> None:
    report = json.loads((run / "report.json").read_text("utf-8"))
    report["findings"][0]["code"] = "<img src=x>"
    (run / "report.json").write_text(json.dumps(report))
    assert "matching regex" in refused("report", run)
