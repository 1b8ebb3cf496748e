"""The pipelines that the examples propose: they follow the schema of their host, and do what they say."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from lrdiag.cli.app import main

EXAMPLES = Path(__file__).parents[1] / "examples"
GITHUB, GITLAB = EXAMPLES / "pull-request.yml", EXAMPLES / "gitlab-ci.yml"
SCHEMAS = {GITHUB: "vendor.github-workflows", GITLAB: "vendor.gitlab-ci"}


def checked(file: Path, schema: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.stem)
def test_follows_the_schema_of_its_host(file: Path) -> None:
    process = checked(file, SCHEMAS[file])
    assert process.returncode == 0, process.stdout


@pytest.mark.parametrize(
    ("file", "word", "wrong"), [(GITHUB, "runs-on", "run-on"), (GITLAB, "allow_failure: true", "allow_failure: maybe")]
)
def test_the_schema_would_refuse_a_slip(tmp_path: Path, file: Path, word: str, wrong: str) -> None:
    (tmp_path / "slip.yml").write_text(file.read_text().replace(word, wrong))
    assert checked(tmp_path / "slip.yml", SCHEMAS[file]).returncode == 1


def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(file)
    return content


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    return dict(read(GITHUB)["jobs"])


def step(job: dict[str, Any], name: str) -> dict[str, Any]:
    """The one step whose name, or action, begins so."""
    (found,) = (each for each in job["steps"] if each.get("name", each.get("uses")).startswith(name))
    return dict(found)


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.stem)
def test_every_command_is_one_that_lrdiag_understands(file: Path) -> None:
    commands = re.findall(r"lrdiag (train-and-report|report|compare)((?: [\w./=-]+)+)", file.read_text())
    assert {name for name, _ in commands} == {"train-and-report", "report"}
    for name, arguments in commands:
        whole = click.Context(main, info_name="lrdiag")
        with main.commands[name].make_context(name, shlex.split(arguments), parent=whole) as context:
            assert context.params


def test_only_the_comment_may_write_and_it_may_write_nothing_else(jobs: dict[str, Any]) -> None:
    assert read(GITHUB)["permissions"] == {"contents": "read"}
    assert {name: job["permissions"] for name, job in jobs.items() if "permissions" in job} == {
        "comment": {"pull-requests": "write"}
    }


def test_the_job_of_a_fork_does_not_fail_for_a_comment_that_it_may_not_write(jobs: dict[str, Any]) -> None:
    assert jobs["comment"]["continue-on-error"] is True
    assert "github.event.pull_request.head.repo.full_name == github.repository" in jobs["comment"]["if"]
    assert not [each for each in jobs["diagnose"]["steps"] if "gh " in each.get("run", "")]


def test_the_page_is_kept_as_one_file_that_is_not_zipped(jobs: dict[str, Any]) -> None:
    page = step(jobs["diagnose"], "Keep the page")
    assert (page["uses"], page["with"]) == ("actions/upload-artifact@v7", {"path": "run/report.html", "archive": False})


def test_the_baseline_is_kept_under_the_commit_by_which_it_is_looked_for(jobs: dict[str, Any]) -> None:
    fetched, kept = step(jobs["diagnose"], "Fetch the run"), step(jobs["diagnose"], "Keep it for pull")
    assert fetched["with"]["path"] == kept["with"]["path"] == "baseline"
    assert fetched["with"]["key"] == "lrdiag-${{ steps.left.outputs.commit }}"
    assert kept["with"]["key"] == "lrdiag-${{ github.sha }}"
    assert "restore-keys" not in fetched["with"]  # a run of another commit would be the wrong baseline
    assert "git merge-base" in step(jobs["diagnose"], "Find the commit")["run"]


def stub(folder: Path, name: str, script: str) -> None:
    """A program that notes how it was called."""
    program = folder / name
    program.write_text(f'#!/bin/bash\necho "$@" >> "{folder}/calls"\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def run(script: str, folder: Path, **environment: str) -> tuple[int, list[str], str]:
    """Runs a step as GitHub does, with the stubs in `folder`; gives its exit code, their calls and what was said."""
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
    """The script that compares and reports."""
    if host == GITHUB:
        return str(step(read(GITHUB)["jobs"]["diagnose"], "Compare and report")["run"])
    (script,) = (part for part in read(GITLAB)["diagnose"]["script"] if "--baseline" in part)
    return str(script)


COMPARED = "report run --baseline baseline --fail-if-worse accuracy=0.02"


@pytest.mark.parametrize("host", SCHEMAS, ids=lambda file: file.stem)
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
def test_what_comes_of_a_comparison(
    tmp_path: Path, host: Path, baseline: bool, compared: int, alone: int, code: int, calls: list[str]
) -> None:
    if baseline:
        (tmp_path / "baseline").mkdir()
        (tmp_path / "baseline" / "report.json").touch()
    stub(tmp_path, "lrdiag", f'case "$*" in *baseline*) exit {compared};; *) exit {alone};; esac')
    ended, called, said = run(comparing(host), tmp_path, CI_COMMIT_BRANCH="feature", CI_DEFAULT_BRANCH="main")
    assert (ended, called) == (code, calls)
    assert ("cannot be compared" in said) == (baseline and compared == 2)
    assert ("to compare with" in said) == (not baseline)


@pytest.mark.parametrize(
    ("found", "call"),
    [
        ("17\n23", "api --silent --method PATCH comment/17 --field body=@summary.md"),
        ("", "api --silent --method POST comments --field body=@summary.md"),
    ],
)
def test_the_comment_is_written_once_and_then_updated(
    tmp_path: Path, jobs: dict[str, Any], found: str, call: str
) -> None:
    (tmp_path / "summary.md").write_text("<!-- lrdiag summary -->\n\n**80 %**\n")
    stub(tmp_path, "gh", f'case "$*" in *paginate*) printf "%s" "{found}";; esac')
    code, calls, _ = run(
        step(jobs["comment"], "Write the comment")["run"],
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
