"""The GitHub action and the workflows: they follow the schema of their host, and their scripts work."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import click
import pytest
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner, Result
from fixtures.runs import FinishedRun
from ruamel.yaml import YAML

from lrdiag.cli.app import main
from lrdiag.report.summary import MARKER

ROOT = Path(__file__).parents[1]
ACTION = ROOT / "action.yml"
GITHUB, FORK, GITLAB = (
    ROOT / "examples" / name for name in ("pull-request.yml", "pull-request-of-a-fork.yml", "gitlab-ci.yml")
)
OURS = ROOT / ".github/workflows/ci.yml"
SCHEMAS = {
    ACTION: "vendor.github-actions",
    GITHUB: "vendor.github-workflows",
    FORK: "vendor.github-workflows",
    OURS: "vendor.github-workflows",
    GITLAB: "vendor.gitlab-ci",
}


def check(file: Path, schema: str) -> Result:
    return CliRunner().invoke(check_jsonschema, ["--builtin-schema", schema, str(file)])


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.stem)
def test_a_file_follows_the_schema_of_its_host(file: Path) -> None:
    result = check(file, SCHEMAS[file])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("file", "word", "wrong"), [(GITHUB, "runs-on", "run-on"), (ACTION, "using:", "use:")])
def test_the_schema_rejects_a_mistake(tmp_path: Path, file: Path, word: str, wrong: str) -> None:
    (tmp_path / "mistake.yml").write_text(file.read_text().replace(word, wrong))
    assert check(tmp_path / "mistake.yml", SCHEMAS[file]).exit_code == 1


def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(file)
    return content


@pytest.mark.parametrize("file", [GITHUB, FORK, GITLAB], ids=lambda file: file.stem)
def test_a_workflow_to_copy_is_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 40


@pytest.mark.parametrize("file", [ACTION, GITHUB, GITLAB], ids=lambda file: file.stem)
def test_every_command_is_valid(file: Path) -> None:
    commands = re.findall(r"lrdiag (train-and-report|report|compare)((?: [\w./:=-]+)*)", file.read_text())
    assert commands
    for name, arguments in commands:
        line = ["run", *shlex.split(arguments)] if (name, arguments) == ("report", "") else shlex.split(arguments)
        whole = click.Context(main, info_name="lrdiag", **main.context_settings)
        with main.commands[name].make_context(name, line, parent=whole) as context:
            assert context.params


def inputs_of(file: Path) -> dict[str, str]:
    """What a workflow passes to the action."""
    steps = [step for job in read(file)["jobs"].values() for step in job["steps"]]
    (given,) = (step["with"] for step in steps if step.get("uses", "").startswith("lrdiag/"))
    return dict(given)


@pytest.mark.parametrize("file", [GITHUB, FORK], ids=lambda file: file.stem)
def test_a_workflow_passes_inputs_that_the_action_has(file: Path) -> None:
    assert set(inputs_of(file)) <= set(read(ACTION)["inputs"])


def test_the_workflow_of_a_fork_runs_no_code_of_the_fork_and_waits_for_the_other() -> None:
    (job,) = read(FORK)["jobs"].values()
    assert [step["uses"].split("@")[0] for step in job["steps"]] == ["lrdiag/lrdiag"]
    assert read(FORK)["permissions"] == {"actions": "read", "pull-requests": "write"}
    assert read(FORK)["on"]["workflow_run"]["workflows"] == [read(GITHUB)["name"]]


def step(name: str) -> dict[str, Any]:
    """The step of the action whose name starts with `name`."""
    (found,) = (each for each in read(ACTION)["runs"]["steps"] if each["name"].startswith(name))
    return dict(found)


def test_nothing_that_others_write_is_part_of_a_script() -> None:
    """Names of branches and inputs reach the scripts as environment variables, so that they can't be code."""
    for each in read(ACTION)["runs"]["steps"]:
        assert "${{" not in each.get("run", "")


def test_the_page_is_uploaded_as_one_file_and_not_zipped() -> None:
    assert step("Keep the page")["with"] == {"path": "${{ inputs.run }}/report.html", "archive": False}


def test_the_run_of_a_commit_is_kept_under_the_name_by_which_it_is_fetched() -> None:
    assert step("Keep the run")["with"]["name"] == "${{ inputs.baseline }}-${{ github.sha }}"
    assert "artifacts?name=$NAME-$left" in step("Fetch the run of the commit")["run"]


def test_a_comment_that_is_forbidden_fails_nothing() -> None:
    comment = step("Create or update")
    assert comment["continue-on-error"] is True
    assert "github.event.pull_request.head.repo.full_name == github.repository" in comment["if"]


class Runner:
    """Runs steps of the action as GitHub does, with stubs of its programs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.output = folder, folder / "output"
        self.output.touch()

    def stub(self, name: str, script: str) -> None:
        """Writes a program that records its arguments."""
        program = self.folder / name
        program.write_text(f'#!/bin/bash\necho "$@" >> "{self.folder}/calls"\n{script}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def run(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        found = step(name)
        fixed = {key: value for key, value in found.get("env", {}).items() if "${{" not in value}
        programs = f"{self.folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        runner = {"PATH": programs, "RUNNER_TEMP": str(self.folder), "GITHUB_OUTPUT": str(self.output)}
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", found["run"]],
            cwd=self.folder,
            env={**os.environ, **fixed, **runner, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        recorded = self.folder / "calls"
        return recorded.read_text().splitlines() if recorded.exists() else []

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.mark.parametrize(("ends", "code"), [(0, 0), (3, 0), (2, 2), (1, 1)])
def test_only_a_failed_gate_lets_the_report_follow_a_failed_command(runner: Runner, ends: int, code: int) -> None:
    assert runner.run("Evaluate", COMMAND=f"exit {ends}").returncode == code


def test_the_command_leaves_the_step_summary_to_the_report(runner: Runner) -> None:
    assert runner.run("Evaluate", COMMAND='test -z "$GITHUB_STEP_SUMMARY"', GITHUB_STEP_SUMMARY="x").returncode == 0


def test_the_baseline_is_that_of_the_commit_where_the_branch_left(runner: Runner) -> None:
    with zipfile.ZipFile(runner.folder / "kept.zip", "w") as archive:
        archive.writestr("report.json", "{}")
    kept = f'cat "{runner.folder}/kept.zip"'
    runner.stub("gh", f'case "$2" in */compare/*) echo abc;; *artifacts\\?*) echo 17;; */17/zip) {kept};; esac')
    fetched = {"REPOSITORY": "repos/me/flowers", "COMMITS": "base...head", "NAME": "lrdiag-run"}
    assert runner.run("Fetch the run of the commit", **fetched).returncode == 0
    assert (runner.folder / "baseline/report.json").read_text() == "{}"
    assert [call.split()[1] for call in runner.calls] == [
        "repos/me/flowers/compare/base...head",
        "repos/me/flowers/actions/artifacts?name=lrdiag-run-abc",
        "repos/me/flowers/actions/artifacts/17/zip",
    ]


@pytest.mark.parametrize(
    ("baseline", "gates", "code", "status"),
    [
        (True, "--fail-if-worse accuracy=0.02", 0, "passed"),
        (True, "--fail-if-worse accuracy=0.02\n--fail-under accuracy=100%", 3, "failed"),
        (False, "--fail-if-worse accuracy=0.02", 0, "passed"),
        (False, "--fail-under accuracy=100%", 3, "failed"),
        (False, "--fail-under nothing=1", 2, "error"),
    ],
)
def test_a_run_is_compared_and_judged(
    runner: Runner, finished: FinishedRun, baseline: bool, gates: str, code: int, status: str
) -> None:
    run = shutil.copytree(finished.folder, runner.folder / "run")
    if baseline:
        shutil.copytree(finished.folder, runner.folder / "baseline")
    summary = runner.folder / "step-summary"
    judged = runner.run("Compare", RUN=str(run), GATES=gates, GITHUB_STEP_SUMMARY=str(summary))
    assert judged.returncode == code, judged.stderr
    assert ("not compared" in judged.stderr) is (not baseline and code != 2)
    difference = "0.0" if baseline else ""
    assert runner.outputs == {"accuracy": runner.outputs["accuracy"], "difference": difference, "status": status}
    assert 0 < float(runner.outputs["accuracy"]) < 1
    assert summary.exists() is (code != 2)


@pytest.mark.parametrize(
    ("number", "found", "written"),
    [
        ("5", "17\n23", "--method PATCH repos/me/flowers/issues/comments/17"),
        ("5", "", "--method POST repos/me/flowers/issues/5/comments"),
        ("", "", "--method POST repos/me/flowers/issues/8/comments"),  # of a fork: looked up by its branch
    ],
)
def test_the_comment_is_created_once_and_then_updated(runner: Runner, number: str, found: str, written: str) -> None:
    summary = runner.folder / "summary.md"
    summary.write_text(f"{MARKER}\n\n**80 %**\n")
    runner.stub("gh", f'case "$*" in *paginate*) printf "%s" "{found}";; *GET*pulls*) echo 8;; esac')
    environment = {"REPOSITORY": "repos/me/flowers", "NUMBER": number, "HEAD": "you:feature", "SUMMARY": str(summary)}
    assert runner.run("Create or update", **environment, PAGE="https://example.org/page").returncode == 0
    assert written in runner.calls[-1]
    comment = (runner.folder / "comment.md").read_text()
    assert comment == f"{MARKER}\n\n**80 %**\n\n[Open the page](https://example.org/page)\n"
