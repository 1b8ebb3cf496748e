"""The workflows: they follow the schema of their host, and their scripts work."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from lrdiag.cli.app import main

ROOT = Path(__file__).parents[1]
GITHUB, GITLAB = ROOT / "examples/pull-request.yml", ROOT / "examples/gitlab-ci.yml"
OURS = ROOT / ".github/workflows/ci.yml"
SCHEMAS = {GITHUB: "vendor.github-workflows", GITLAB: "vendor.gitlab-ci", OURS: "vendor.github-workflows"}


def check(file: Path, schema: str) -> Result:
    return CliRunner().invoke(check_jsonschema, ["--builtin-schema", schema, str(file)])


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.stem)
def test_a_workflow_follows_the_schema_of_its_host(file: Path) -> None:
    result = check(file, SCHEMAS[file])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("file", "word", "wrong"), [(GITHUB, "runs-on", "run-on"), (GITLAB, "allow_failure: true", "allow_failure: maybe")]
)
def test_the_schema_rejects_a_mistake(tmp_path: Path, file: Path, word: str, wrong: str) -> None:
    (tmp_path / "mistake.yml").write_text(file.read_text().replace(word, wrong))
    assert check(tmp_path / "mistake.yml", SCHEMAS[file]).exit_code == 1


def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(file)
    return content


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    return dict(read(GITHUB)["jobs"])


def step(job: dict[str, Any], name: str) -> dict[str, Any]:
    """The step whose name or action starts with `name`."""
    (found,) = (each for each in job["steps"] if each.get("name", each.get("uses")).startswith(name))
    return dict(found)


@pytest.mark.parametrize("file", [GITHUB, GITLAB], ids=lambda file: file.stem)
def test_every_command_is_valid(file: Path) -> None:
    commands = re.findall(r"lrdiag (train-and-report|report|compare)((?: [\w./=-]+)+)", file.read_text())
    assert {name for name, _ in commands} == {"train-and-report", "report"}
    for name, arguments in commands:
        whole = click.Context(main, info_name="lrdiag")
        with main.commands[name].make_context(name, shlex.split(arguments), parent=whole) as context:
            assert context.params


def test_only_the_comment_job_has_write_permission_and_only_for_comments(jobs: dict[str, Any]) -> None:
    assert read(GITHUB)["permissions"] == {"contents": "read"}
    assert {name: job["permissions"] for name, job in jobs.items() if "permissions" in job} == {
        "comment": {"pull-requests": "write"}
    }


def test_a_pull_request_from_a_fork_does_not_fail_because_of_the_comment(jobs: dict[str, Any]) -> None:
    assert jobs["comment"]["continue-on-error"] is True
    assert "github.event.pull_request.head.repo.full_name == github.repository" in jobs["comment"]["if"]
    assert not [each for each in jobs["diagnose"]["steps"] if "gh " in each.get("run", "")]


def test_the_page_is_uploaded_as_one_file_and_not_zipped(jobs: dict[str, Any]) -> None:
    page = step(jobs["diagnose"], "Keep the page")
    assert (page["uses"], page["with"]) == ("actions/upload-artifact@v7", {"path": "run/report.html", "archive": False})


def test_the_baseline_is_saved_and_restored_by_its_commit(jobs: dict[str, Any]) -> None:
    fetched, kept = step(jobs["diagnose"], "Fetch the run"), step(jobs["diagnose"], "Save it for pull")
    assert fetched["with"]["path"] == kept["with"]["path"] == "baseline"
    assert fetched["with"]["key"] == "lrdiag-${{ steps.left.outputs.commit }}"
    assert kept["with"]["key"] == "lrdiag-${{ github.sha }}"
    assert "restore-keys" not in fetched["with"]  # the run of another commit is the wrong baseline
    assert "git merge-base" in step(jobs["diagnose"], "Find the commit")["run"]


def stub(folder: Path, name: str, script: str) -> None:
    """Writes a program that records its arguments."""
    program = folder / name
    program.write_text(f'#!/bin/bash\necho "$@" >> "{folder}/calls"\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def run(script: str, folder: Path, **environment: str) -> tuple[int, list[str], str]:
    """Runs a step as GitHub does, with the stubs in `folder`. Returns the exit code, their calls and the output."""
    process = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={"PATH": f"{folder}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = folder / "calls"
    return process.returncode, calls.read_text().splitlines() if calls.exists() else [], process.stdout


def comparing(host: Path) -> str:
    """The script that compares two runs and writes the report."""
    if host == GITHUB:
        return str(step(read(GITHUB)["jobs"]["diagnose"], "Compare and report")["run"])
    (script,) = (part for part in read(GITLAB)["diagnose"]["script"] if "--baseline" in part)
    return str(script)


COMPARED = "report run --baseline baseline --fail-if-worse accuracy=0.02"


@pytest.mark.parametrize("host", [GITHUB, GITLAB], ids=lambda file: file.stem)
@pytest.mark.parametrize(
    ("baseline", "compared", "alone", "code", "calls"),
    [
        (True, 0, 9, 0, [COMPARED]),
        (True, 3, 9, 3, [COMPARED]),  # a gate failed
        (True, 2, 0, 0, [COMPARED, "report run"]),  # other test images
        (True, 2, 3, 3, [COMPARED, "report run"]),
        (True, 2, 2, 2, [COMPARED, "report run"]),
        (False, 9, 0, 0, ["report run"]),
        (False, 9, 3, 3, ["report run"]),
    ],
)
def test_the_exit_code_of_a_comparison(
    tmp_path: Path, host: Path, baseline: bool, compared: int, alone: int, code: int, calls: list[str]
) -> None:
    if baseline:
        (tmp_path / "baseline").mkdir()
        (tmp_path / "baseline" / "report.json").touch()
    stub(tmp_path, "lrdiag", f'case "$*" in *baseline*) exit {compared};; *) exit {alone};; esac')
    ended, called, printed = run(comparing(host), tmp_path, CI_COMMIT_BRANCH="feature", CI_DEFAULT_BRANCH="main")
    assert (ended, called) == (code, calls)
    assert ("cannot be compared" in printed) == (baseline and compared == 2)
    assert ("to compare with" in printed) == (not baseline)


@pytest.mark.parametrize(
    ("found", "call"),
    [
        ("17\n23", "api --silent --method PATCH comment/17 --field body=@summary.md"),
        ("", "api --silent --method POST comments --field body=@summary.md"),
    ],
)
def test_the_comment_is_created_once_and_then_updated(
    tmp_path: Path, jobs: dict[str, Any], found: str, call: str
) -> None:
    (tmp_path / "summary.md").write_text("<!-- lrdiag summary -->\n\n**80 %**\n")
    stub(tmp_path, "gh", f'case "$*" in *paginate*) printf "%s" "{found}";; esac')
    code, calls, _ = run(
        step(jobs["comment"], "Create or update")["run"],
        tmp_path,
        COMMENTS="comments",
        COMMENT="comment",
        PAGE="https://example.org/page",
    )
    assert code == 0
    assert calls[0].startswith("api --paginate comments --jq .[] | select(.user.login")
    assert "startswith(env.MARKER)" in calls[0]
    assert calls[1:] == [call]
    assert (tmp_path / "summary.md").read_text().endswith("**80 %**\n\n[Open the page](https://example.org/page)\n")
