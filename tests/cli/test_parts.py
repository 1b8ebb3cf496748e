"""`lrdiag diagnose --part` and `lrdiag merge`: the report of one command, and one message for each fault."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fixtures.runs import FinishedRun

from lrdiag.cli.app import main

_OF_THE_MOMENT = ("command", "created", "seconds", "files")


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def facts(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "report.json").read_text("utf-8"))
    content["heatmaps"]["trust"] = None  # the number of images that are measured depends on the time
    return {name: value for name, value in content.items() if name not in _OF_THE_MOMENT}


def is_equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_equal, one, other))
    return bool(one == pytest.approx(other, rel=1e-6) if isinstance(one, float) else one == other)


def test_parts_are_merged_to_the_report_of_one_evaluation(finished: FinishedRun, tmp_path: Path) -> None:
    assert invoke("diagnose", finished.folder, "--out", tmp_path / "whole", "--quiet").exit_code == 0
    parts = [tmp_path / "parts" / str(number) for number in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        result = invoke("diagnose", finished.folder, "--part", f"{number}/3", "--out", part, "--quiet")
        assert (result.exit_code, result.stdout) == (0, f"Part {number} of 3: {part}\n")
    result = invoke("merge", *reversed(parts), "--out", tmp_path / "merged", "--fail-under", "accuracy=1")
    assert result.exit_code == 3, result.output
    merged, whole = facts(tmp_path / "merged"), facts(tmp_path / "whole")
    assert [each["passed"] for each in merged.pop("gates")] == [False]
    whole.pop("gates")
    assert [name for name in whole if not is_equal(whole[name], merged[name])] == []
    assert (tmp_path / "merged" / "report.html").exists()
    result = invoke("merge", *parts[1:], "--out", tmp_path / "none")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Received: 2 of 3, without 1 part: 1" in result.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diagnose", "m.keras", "--part", "4/3"], "It must be a part from 1 and the number of parts, such as 3/8"),
        (["diagnose", "m.keras", "--workers", "2"], "Received: --workers without --engine"),
        (["diagnose", "m.keras", "--part", "1/2", "--engine", "ray"], "Received: --part and --engine"),
        (["merge", "nowhere"], "Received: nowhere without part.npz"),
        (["merge"], "Missing argument 'PART...'"),
    ],
)
def test_wrong_usage_is_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert os.listdir() == []


def test_options_of_the_report_belong_to_merge(finished: FinishedRun, tmp_path: Path) -> None:
    result = invoke("diagnose", finished.folder, "--part", "1/2", "--out", tmp_path / "p", "--fail-under", "accuracy=1")
    assert result.exit_code == 2
    assert "options of the report belong to `lrdiag merge`. Received: gates with --part" in result.stderr
    assert not (tmp_path / "p").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_the_workers_of_ray_give_the_same_report(finished: FinishedRun, tmp_path: Path) -> None:
    if not os.environ.get("LRDIAG_REQUIRE_BACKENDS"):
        pytest.importorskip("ray", reason="ray is not installed")
    assert invoke("diagnose", finished.folder, "--out", tmp_path / "whole", "--quiet").exit_code == 0
    result = invoke("diagnose", finished.folder, "--out", tmp_path / "run", "--engine", "ray", "--workers", "2")
    assert result.exit_code == 0, result.output
    whole, by_ray = facts(tmp_path / "whole"), facts(tmp_path / "run")
    assert [name for name in whole if not is_equal(whole[name], by_ray[name])] == []
