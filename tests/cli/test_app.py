"""The commands. Most tests run them in this process; one separate process of each kind is a smoke test."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixtures.runs import SMALL, FinishedRun
from fixtures.signals import default_handlers
from PIL import Image

from lrdiag import __version__, formats
from lrdiag.cli.app import main
from lrdiag.cli.results import is_watched
from lrdiag.diagnosis import scores
from lrdiag.diagnosis.pairs import confused_pairs
from lrdiag.policies.finder import find_lr as find_lr_in_python
from lrdiag.record import documents, exchange, reading
from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import Finding, Misclassified, Run
from lrdiag.settings import DiagnoseSettings, Settings

QUICK = [*SMALL, "--epochs", "1", "--no-open"]


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


HEAVY = {"tensorflow", "keras", "sklearn", "scipy", "matplotlib", "cv2", "PIL", "tf_keras_vis"}


def test_importing_the_package_imports_no_heavy_package() -> None:
    assert not modules_after("import lrdiag") & (HEAVY | {"numpy", "rich", "click"})


def test_help_imports_no_heavy_package() -> None:
    assert not modules_after("from lrdiag.cli.app import main\nmain(['--help'], standalone_mode=False)") & (
        HEAVY | {"numpy", "rich"}
    )


def test_version() -> None:
    assert invoke("--version").stdout.split()[-1] == __version__


PRESENTATION = {"open_page", "as_json", "quiet", "verbose", "config_file"}  # they change nothing in the run folder


def options_of(command: str) -> set[str]:
    return {param.name or "" for param in main.commands[command].params} - PRESENTATION


@pytest.mark.parametrize(("command", "record"), [("train-and-report", Settings), ("diagnose", DiagnoseSettings)])
def test_every_setting_has_an_option_and_every_option_is_a_setting(command: str, record: type) -> None:
    fields = {field.name for field in dataclasses.fields(record)}
    assert options_of(command) - {"part", "engine", "workers"} == fields - {"gates", "check_settings"} | {
        "fail_under", "fail_if_worse", "fail_on", "skip_check"
    }  # fmt: skip


def test_find_lr_has_the_options_that_affect_a_range_test() -> None:
    """A new setting needs an option of `find-lr` or an entry in this list."""
    not_for_a_range_test = {
        "epochs", "limit_test", "schedule", "learning_rate", "out", "baseline", "gates", "assets", "templates",
        "check_settings", "metadata", "groups", "resume", "images",
        "file_names",
    }  # fmt: skip
    settings = {field.name for field in dataclasses.fields(Settings)} - not_for_a_range_test
    sweep = options_of("find-lr") - settings - {"rule", "plot"}
    assert settings <= options_of("find-lr")
    assert sweep == {"start_lr", "end_lr", "iterations", "mode", "repeats"} < set(find_lr_in_python.__kwdefaults__)


@pytest.mark.parametrize("command", main.commands)
def test_help_names_every_option(command: str) -> None:
    text = invoke(command, "--help").stdout
    for param in main.commands[command].params:
        assert param.name
        for name in (*param.opts, *param.secondary_opts) if isinstance(param, click.Option) else ():
            assert name in text


def without_times(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    del report["seconds"], report["training"]["seconds"], report["command"], report["git_commit"], report["created"]
    del report["training"]["time"], report["files"]  # the page and the tables contain times
    for epoch in report["training"]["epochs"]:
        del epoch["seconds"]
    report["heatmaps"].pop("independent")  # a busy machine may skip it
    return report


@pytest.mark.slow
def test_a_separate_process_gives_the_same_result(finished: FinishedRun, tmp_path: Path) -> None:
    """The same seed gives the same report, except for times. stdout has the summary, stderr one line per stage."""
    step = tmp_path / "step"
    process = subprocess.run(
        [sys.executable, "-m", "lrdiag", "train-and-report", *SMALL, "--out", "run", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(step)},
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["accuracy"] == json.loads(finished.stdout)["accuracy"]
    assert stages_of(process.stderr) == stages_of(finished.stderr)
    assert without_times(tmp_path / "run") == without_times(finished.folder)
    command = reading.load(tmp_path / "run").diagnosis.command
    assert command == f"lrdiag train-and-report {' '.join(SMALL)} --out run --json"
    assert step.read_text() == "\n" + (tmp_path / "run" / "summary.md").read_text()


def stages_of(stderr: str) -> list[str]:
    return [line.split(":")[0] for line in stderr.splitlines()]


def test_stdout_contains_only_the_summary(finished: FinishedRun) -> None:
    summary = json.loads(finished.stdout)
    assert summary["report"] == str(finished.folder / "report.html")
    assert summary["test_size"] == 60
    assert 0 <= summary["accuracy_low"] <= summary["accuracy"] <= summary["accuracy_high"] <= 1
    assert (summary["comparison"], summary["gates"]) == (None, [])


def test_stderr_has_one_line_per_stage_and_no_log_messages(finished: FinishedRun) -> None:
    assert stages_of(finished.stderr) == [
        "Starting TensorFlow",
        "Reading the digits",
        "Range test",
        "Training",
        "Predicting and explaining",
        "Checking the heatmaps",
        "Predicting training images",
        "Studying images and labels",
        "Writing the page",
    ]


def test_the_run_folder_is_complete(finished: FinishedRun) -> None:
    names = {path.name for path in finished.folder.iterdir()}
    assert names >= {
        "report.html", "report.json", "summary.md", "summary.png", "model.keras", "predictions.csv", "history.csv",
        "range_test.csv",
    }  # fmt: skip
    assert not [name for name in names if name.startswith(".")]


def test_the_page_can_be_made_again_without_tensorflow(finished: FinishedRun, tmp_path: Path) -> None:
    page = copied(finished, tmp_path / "run") / "report.html"
    page.unlink()
    loaded = modules_after(
        f"from lrdiag.cli.app import main\nmain(['report', {str(page.parent)!r}], standalone_mode=False)"
    )
    assert page.read_bytes() == (finished.folder / "report.html").read_bytes()
    assert str(page) in loaded  # the path is printed too
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("option", "watched", "opened"), [("--open", True, True), ("--open", False, False), ("--no-open", True, False)]
)
def test_the_page_opens_only_in_an_interactive_terminal(
    finished: FinishedRun,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    watched: bool,
    opened: bool,
) -> None:
    launched: list[str] = []
    result = SimpleNamespace(run=reading.load(finished.folder))
    monkeypatch.setattr("lrdiag.main_job.run_main_job", lambda *_, **__: result)
    monkeypatch.setattr("lrdiag.cli.app.is_watched", lambda: watched)
    monkeypatch.setattr("click.launch", launched.append)
    assert CliRunner().invoke(main, ["train-and-report", option, "--out", "run"]).exit_code == 0
    assert launched == [str(Path("run") / "report.html")] * opened


def test_ci_is_not_interactive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    monkeypatch.delenv("CI", raising=False)
    assert is_watched()
    monkeypatch.setenv("CI", "true")
    assert not is_watched()


FINDING = Finding("weak-class", "warning", "“cat” is weak.", "5.0\u00a0% of 20 images.", "Add images of it.")


@pytest.fixture
def found(finished: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The result of every training run: the finished run with one finding and one note."""
    run = reading.load(finished.folder)
    diagnosis = dataclasses.replace(run.diagnosis, findings=[FINDING], notes=["Images are stretched to 32×32."])
    run = dataclasses.replace(run, diagnosis=diagnosis)
    monkeypatch.setattr("lrdiag.main_job.run_main_job", lambda *_, **__: SimpleNamespace(run=run))
    return run


def test_findings_and_notes_are_printed_on_stderr(found: Run) -> None:
    result = invoke("train-and-report", "--no-open", "--out", "run")
    verdict, page = result.stdout.splitlines()
    accuracy = f"{100 * found.diagnosis.test.accuracy:.1f} %"
    assert verdict.startswith(f"{accuracy} on 60 Digits test images")
    assert page == str(Path("run") / "report.html")
    assert result.stderr.splitlines()[-5:] == [
        "Images are stretched to 32×32.",
        "Findings: 1 warning.",
        "warning: “cat” is weak.",
        "  5.0 % of 20 images.",
        "  What to do: Add images of it.",
    ]


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_findings_are_not_printed_beside_json_and_when_quiet(found: Run, option: str) -> None:
    result = invoke("train-and-report", "--no-open", "--out", "run", option)
    assert "cat" not in result.stderr
    if option == "--json":
        printed = json.loads(result.stdout)
        assert (printed["findings"], printed["notes"]) == (["weak-class"], ["Images are stretched to 32×32."])


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_prints_only_failed_gates(finished: FinishedRun, monkeypatch: pytest.MonkeyPatch, quiet: bool) -> None:
    result = SimpleNamespace(run=reading.load(finished.folder))
    monkeypatch.setattr("lrdiag.main_job.run_main_job", lambda *_, **__: result)
    gates = ["--fail-under", "accuracy=0", "--fail-under", "recall.0=0"]
    printed = invoke("train-and-report", "--no-open", "--out", "run", *gates, *["-q"] * quiet)
    assert (printed.exit_code, bool(printed.stdout), bool(printed.stderr)) == (0, not quiet, not quiet)


def test_a_quiet_run_prints_nothing(tmp_path: Path) -> None:
    printed = invoke("train-and-report", *QUICK, "--learning-rate", "0.1", "--out", tmp_path / "run", "-q")
    assert (printed.exit_code, printed.stdout, printed.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--learning-rate", "0"], ["learning rate", "'0'"]),
        (["--learning-rate", "1:0.1"], ["learning rate", "'1:0.1'"]),
        (["--learning-rate", "nan"], ["learning rate", "'nan'"]),
        (["--learning-rate", "0.1:0.4", "--schedule", "constant"], ["constant", "0.1:0.4"]),
        (["--epochs", "0"], ["epochs", "0"]),
        (["--augment", "flip,spin"], ["augment", "'spin'"]),
        (["--optimizer", "lion"], ["--optimizer", "lion"]),
        (["--data", "no-such-folder"], ["no-such-folder", "cifar10", "digits"]),
        (["--data", "digits", "--model", "no-such.keras"], ["no-such.keras"]),
        (["--data", "digits", "--model", "json:dumps"], ["json:dumps", "obj"]),
        (["--data", "digits", "--model", "os:getcwd"], ["os:getcwd", "keras.Model", "str"]),
        (["--data", "digits", "--model", "nonsense"], ["nonsense", "module:function"]),
        (["--data", "digits", "--limit-train", "5"], ["5", "10"]),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    result = CliRunner().invoke(main, ["train-and-report", "--no-open", "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_verbose_shows_the_traceback(tmp_path: Path) -> None:
    result = invoke("train-and-report", "--out", tmp_path / "out", "--data", "no-such-folder", "-v")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["train-and-report", "--data", "no-such-folder", "--out"],
        ["train-and-report", *QUICK, "--fail-under", "recall.cat=1", "--out"],
        ["diagnose", "absent.keras", "--out"],
        ["compare", "nowhere", "nowhere", "--out"],
    ],
    ids=lambda command: command[0],
)
def test_a_failed_command_leaves_no_empty_folder(tmp_path: Path, command: list[str]) -> None:
    assert invoke(*command, tmp_path / "new" / "run").exit_code == 2
    assert not (tmp_path / "new").exists()
    (tmp_path / "kept").mkdir()
    assert invoke(*command, tmp_path / "kept").exit_code == 2
    assert (tmp_path / "kept").exists()


def test_an_unwritable_out_folder_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = CliRunner().invoke(main, ["train-and-report", *QUICK, "--out", str(tmp_path / "file" / "run")])
    assert result.exit_code == 2
    assert "The run folder cannot be written. Choose another folder." in result.stderr


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert result.exit_code == 2
    assert "report.json" in result.stderr


@pytest.mark.slow
def test_ctrl_c_during_training_exits_with_130_and_leaves_model_and_report(tmp_path: Path) -> None:
    endless = [*SMALL, "--no-open", "--epochs", "5000", "--out", str(tmp_path / "run")]
    # a process that is started in the background of a shell ignores Ctrl-C, and so would its children
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import lrdiag.__main__"
    process = subprocess.Popen(
        [sys.executable, "-c", listening, "train-and-report", *endless], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if line.startswith("Range test"):
                break
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    training = reading.load(tmp_path / "run").diagnosis.training
    assert training is not None
    assert training.interrupted
    assert {"model.keras", "report.html"} <= set(os.listdir(tmp_path / "run"))


def test_ctrl_c_before_training_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lrdiag.main_job.choose_rates", press)
    assert invoke("train-and-report", *QUICK, "--out", tmp_path / "run").exit_code == 130
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "Interrupted.\n"), (signal.SIGTERM, 143, "Terminated.\n")]
)
@pytest.mark.parametrize("hidden", [False, True])
def test_a_signal_ends_a_command_with_one_line_also_if_an_engine_makes_another_error_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, code: int, said: str, hidden: bool
) -> None:
    def load(folder: Path) -> None:
        try:
            signal.raise_signal(number)
        except BaseException:
            if hidden:  # as TensorFlow does it while it traces a function
                raise RuntimeError("REPLACED BY KeyboardInterrupt") from None
            raise

    (tmp_path / "report.json").touch()
    monkeypatch.setattr(reading, "load", load)
    with default_handlers():
        result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert (result.exit_code, result.stderr, result.stdout) == (code, said, "")


def test_another_error_is_no_interruption(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def load(folder: Path) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(reading, "load", load)
    (tmp_path / "report.json").touch()
    assert CliRunner().invoke(main, ["report", str(tmp_path)]).exit_code == 1


@pytest.mark.parametrize("code", [0, None, "no weights", 130])
def test_code_of_the_user_cannot_end_the_command_as_a_success(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: object
) -> None:
    """A layer may call `sys.exit` long after its module was imported."""

    def load(folder: Path) -> None:
        sys.exit(code)  # type: ignore[arg-type]

    (tmp_path / "report.json").touch()
    monkeypatch.setattr(reading, "load", load)
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (2, "")
    called = f"it called sys.exit({'' if code is None else repr(code)}), in {__file__} line "
    assert f"Error: The code of the model must not end the program. Received: {called}" in result.stderr


def edited(finished: Path, folder: Path, **changes: Any) -> Path:
    """A copy of the facts of a run, without its pictures and with other values."""
    diagnosis = reading.load(finished).diagnosis
    folder.mkdir(exist_ok=True)
    report = documents.to_json(dataclasses.replace(diagnosis, **changes))
    (folder / "report.json").write_bytes(report)
    return folder


@pytest.fixture
def better(finished: FinishedRun, tmp_path: Path) -> Path:
    """A baseline that misclassifies six images of 60 fewer than the finished run, and no others."""
    diagnosis = reading.load(finished.folder).diagnosis
    items = diagnosis.misclassified.items[6:]
    labels = np.repeat(np.arange(10), [sum(row) for row in diagnosis.confusion])
    predicted = labels.copy()
    for mistake in items:
        predicted[np.flatnonzero((labels == mistake.true) & (predicted == labels))[0]] = mistake.predicted
    predictions = Predictions.from_scores(np.eye(10)[predicted] * 0.91 + 0.009, labels)
    counts = scores.confusion(predictions, 10)
    return edited(
        finished.folder,
        tmp_path / "better",
        misclassified=Misclassified(len(items), items),
        per_class=scores.class_facts(predictions, tuple(diagnosis.dataset.classes)),
        test=scores.score(predictions),
        confusion=counts.tolist(),
        confused_pairs=confused_pairs(counts),
    )


def test_a_comparison_written_over_another_run_removes_its_files(
    finished: FinishedRun, better: Path, tmp_path: Path
) -> None:
    other, own = tmp_path / "other", tmp_path / "own"
    for folder in (other, own):
        shutil.copytree(finished.folder, folder)
    assert invoke("compare", better, finished.folder, "--out", other).exit_code == 0
    assert not {"model.keras", "history.csv", "predictions.csv"} & set(os.listdir(other))
    assert invoke("compare", better, own, "--out", own).exit_code == 0
    assert {"model.keras", "history.csv", "predictions.csv"} <= set(os.listdir(own))


def test_two_runs_are_compared(finished: FinishedRun, better: Path) -> None:
    result = invoke("compare", better, finished.folder)
    assert result.exit_code == 0, result.stderr
    assert "Worse than the baseline by 10.00 points: " in result.stdout
    assert "Of 60 test images, 0 were fixed and 6 broken (McNemar's mid-p test: p = 0.016)." in result.stdout
    assert sum(line.startswith(tuple("0123456789")) for line in result.stdout.splitlines()) == 10
    assert {path.name for path in better.iterdir()} == {"report.json"}


def test_a_comparison_takes_json_and_quiet(finished: FinishedRun, better: Path, tmp_path: Path) -> None:
    result = invoke("compare", better, finished.folder, "--json", "--fail-if-worse", "5%")
    assert result.exit_code == 3
    facts, head = json.loads(result.stdout), reading.load(finished.folder).diagnosis
    assert (facts["report"], facts["test_size"], facts["conclusion"]) == (None, 60, "worse")
    assert facts["difference"] == pytest.approx(-0.1)
    assert facts["difference_low"] < -0.1 < facts["difference_high"] < 0
    assert facts["p_value"] == pytest.approx(0.5**6)  # mid-p: half of the probability of 6 of 6, on two sides
    assert (facts["fixed"], facts["broken"]) == (0, 6)
    assert facts["head"]["accuracy"] == head.test.accuracy
    assert facts["base"]["accuracy"] == pytest.approx(head.test.accuracy + 0.1)
    classes = zip(reading.load_baseline(better).diagnosis.per_class, head.per_class, strict=True)
    assert facts["classes"] == [{"name": now.name, "base": base.recall, "head": now.recall} for base, now in classes]
    assert facts["gates"] == [
        {"rule": "fail-if-worse", "name": "accuracy", "limit": 0.05, "actual": pytest.approx(0.1), "passed": False}
    ]
    out = tmp_path / "out"
    assert json.loads(invoke("compare", better, finished.folder, "--out", out, "--json").stdout)["report"] == str(
        out / "report.html"
    )
    quiet = invoke("compare", better, finished.folder, "-q", "--fail-if-worse", "0.5")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")


def test_the_first_run_is_the_baseline(finished: FinishedRun, better: Path) -> None:
    assert (
        "Better than the baseline by 10.00 points: "
        in invoke("compare", finished.folder / "report.json", better / "report.json").stdout
    )


def test_a_comparison_is_written_as_a_run_folder(finished: FinishedRun, better: Path, tmp_path: Path) -> None:
    before = (finished.folder / "report.json").read_bytes()
    result = invoke("compare", better, finished.folder, "--out", tmp_path / "out", "--assets", "folder")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith(f"{tmp_path / 'out' / 'report.html'}\n")
    assert {"report.html", "report.json", "summary.md", "summary.png", "assets"} <= set(os.listdir(tmp_path / "out"))
    comparison = reading.load(tmp_path / "out").diagnosis.comparison
    assert comparison
    assert (len(comparison.broken), len(comparison.fixed)) == (6, 0)
    again = invoke("compare", better / "report.json", finished.folder / "report.json", "--out", tmp_path / "again")
    assert again.exit_code == 0, again.stderr
    assert reading.load(tmp_path / "again") == reading.load(tmp_path / "out")
    assert "**Worse:** −10.00 points, " in (tmp_path / "out" / "summary.md").read_text()
    assert (finished.folder / "report.json").read_bytes() == before


def copied(finished: FinishedRun, folder: Path) -> Path:
    """A run folder that a test may change."""
    shutil.copytree(finished.folder, folder, ignore=shutil.ignore_patterns("model.keras", "heatmaps.npz"))
    return folder


def test_a_report_stores_its_baseline(finished: FinishedRun, better: Path, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    picture = (run / "summary.png").read_bytes()
    result = invoke("report", run, "--baseline", better / "report.json")
    assert (result.exit_code, result.stdout) == (0, f"{run / 'report.html'}\n")
    assert 'id="comparison"' in (run / "report.html").read_text()
    assert (run / "summary.png").read_bytes() != picture
    assert invoke("report", run).exit_code == 0
    assert 'id="comparison"' in (run / "report.html").read_text()


def test_a_report_prints_findings_and_takes_json_and_quiet(finished: FinishedRun, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    printed = invoke("report", run)
    assert printed.stdout == f"{run / 'report.html'}\n"
    codes = [finding.code for finding in reading.load(run).diagnosis.findings]
    assert len(re.findall(r"^(error|warning|note): ", printed.stderr, re.MULTILINE)) == len(codes)
    as_json = invoke("report", run, "--json", "--fail-under", "100%")
    facts = json.loads(as_json.stdout)
    assert as_json.exit_code == 3
    assert facts["findings"] == codes
    assert facts["report"] == str(run / "report.html")
    assert [(gate["name"], gate["limit"], gate["passed"]) for gate in facts["gates"]] == [("accuracy", 1.0, False)]
    quiet = invoke("report", run, "-q", "--fail-under", "0.01")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    failed = invoke("report", run, "-q", "--fail-under", "100%")
    assert (failed.exit_code, failed.stdout) == (3, "")
    assert failed.stderr.startswith("Gate FAILED accuracy: expected at least 1, actual ")


@pytest.fixture
def faulty(finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with an error and its effect, and with a warning. The current folder has no pyproject.toml."""
    monkeypatch.chdir(tmp_path)
    folder = copied(finished, tmp_path / "run")
    run = reading.load(folder)
    effect = Finding("at-chance", "error", "It guesses.", "", "")
    error = Finding("training-stopped", "error", "It stopped.", "", "Start it again.", effects=[effect])
    findings = [error, Finding("no-suggestion", "warning", "No rate.", "", "Set one.")]
    exchange.save(folder, dataclasses.replace(run, diagnosis=dataclasses.replace(run.diagnosis, findings=findings)))
    return folder


@pytest.mark.parametrize(("severity", "count"), [("error", 1), ("warning", 2)])
def test_findings_can_fail_a_command(faulty: Path, severity: str, count: int) -> None:
    unwanted = "error or warning" if severity == "warning" else "error"
    expected = f"findings: expected no {unwanted}, actual {count}"
    result = invoke("report", faulty, "--fail-on", severity)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (3, f"Gate FAILED {expected}")
    shown = f"Findings: {'2 errors or warnings' if severity == 'warning' else '1 error'}, allowed: none"
    assert f"Gate failed.</strong> {shown}<" in (faulty / "report.html").read_text()
    compared = invoke("compare", faulty, faulty, "--fail-on", severity)
    assert (compared.exit_code, compared.stderr) == (3, f"Gate FAILED {expected}\n")


def test_accepted_findings_and_checks_that_are_off_do_not_fail_it(faulty: Path) -> None:
    Path("pyproject.toml").write_text("[tool.lrdiag.accept]\nno-suggestion = 'a fixed rate'\n")
    result = invoke("report", faulty, "--fail-on", "warning", "--skip-check", "training-stopped")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        3, "Gate FAILED findings: expected no error or warning, actual 1"
    )  # fmt: skip
    facts = reading.load(faulty).diagnosis
    assert [(each.code, each.accepted) for each in facts.findings] == [
        ("at-chance", None),
        ("no-suggestion", "a fixed rate"),
    ]
    assert {check.code: check.reason for check in facts.checks}["training-stopped"] == "turned off"
    both = invoke("report", faulty, "--fail-on", "warning", "--skip-check", "at-chance", "--json")
    assert both.exit_code == 0
    assert (json.loads(both.stdout)["findings"], json.loads(both.stdout)["accepted"]) == ([], ["no-suggestion"])
    assert "a fixed rate" in (faulty / "summary.md").read_text()


def test_a_report_has_pictures_inline_or_in_a_folder(finished: FinishedRun, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    assert invoke("report", run, "--assets", "folder").exit_code == 0
    assert (run / "assets" / "misclassified.webp").exists()
    assert "data:image" not in (run / "report.html").read_text()
    assert invoke("report", run).exit_code == 0
    assert not (run / "assets").exists()
    assert (run / "report.html").read_bytes() == (finished.folder / "report.html").read_bytes()


def test_a_report_uses_custom_templates(finished: FinishedRun, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "report.html.j2").write_text("<p>{{ diagnosis.model }}, in our words</p>")
    assert invoke("report", run, "--templates", tmp_path / "templates").exit_code == 0
    assert (run / "report.html").read_text() == "<p>fast, in our words</p>"
    refused = invoke("report", run, "--templates", tmp_path / "nowhere")
    assert refused.exit_code == 2
    assert "nowhere" in refused.stderr


def gates_of(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("Gate ")]


def test_a_failed_gate_exits_with_3_after_everything_is_written(
    finished: FinishedRun, better: Path, tmp_path: Path
) -> None:
    accuracy = reading.load(finished.folder).diagnosis.test.accuracy
    out = tmp_path / "out"
    result = invoke(
        "compare", better, finished.folder, "--out", out,
        "--fail-under", "accuracy=0", "--fail-under", "accuracy=1", "--fail-under", "recall.0=0",
        "--fail-if-worse", "accuracy=0.05",
    )  # fmt: skip
    assert result.exit_code == 3
    assert (out / "report.html").exists()
    assert gates_of(result)[:2] == [
        f"Gate FAILED accuracy: expected at least 1, actual {accuracy:.6g}",
        "Gate FAILED accuracy: expected worse by at most 0.05, actual worse by 0.1",
    ]
    assert gates_of(result)[2].startswith("Gate passed recall.0: expected at least 0, actual ")
    gates = reading.load(out).diagnosis.gates
    assert [(gate.name, gate.passed) for gate in gates] == [
        ("accuracy", False), ("accuracy", False), ("recall.0", True),
    ]  # fmt: skip


def test_a_failed_gate_stays_on_a_page_that_is_made_again(finished: FinishedRun, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    assert invoke("report", run, "--fail-under", "accuracy=1").exit_code == 3
    failed = (run / "report.html").read_text("utf-8")
    assert "Gate" in failed
    assert invoke("report", run).exit_code == 0
    assert (run / "report.html").read_text("utf-8") == failed
    assert [gate.passed for gate in reading.load(run).diagnosis.gates] == [False]


def test_passed_gates_exit_with_0(finished: FinishedRun, tmp_path: Path) -> None:
    result = invoke("report", copied(finished, tmp_path / "run"), "--fail-under", "accuracy=0")
    assert result.exit_code == 0
    assert len(gates_of(result)) == 1


PYPROJECT = "[tool.lrdiag]\nfail-under = {accuracy = 1, 'recall.0' = 0}\nfail-if-worse.accuracy = 0"


def test_gates_of_pyproject_apply_and_the_command_line_has_precedence(
    finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(finished, tmp_path / "run")
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    monkeypatch.chdir(tmp_path)
    failed = invoke("report", "run")
    assert failed.exit_code == 3
    assert [line.split(":")[0] for line in gates_of(failed)] == [
        "Gate FAILED accuracy", "Gate passed recall.0", "Gate not checked accuracy",
    ]  # fmt: skip
    passed = invoke("report", "run", "--fail-under", "accuracy=0")
    assert passed.exit_code == 0
    assert (run / "report.html").exists()


@pytest.mark.parametrize(
    ("command", "gate", "words"),
    [
        (["report"], ["--fail-under", "acuracy=0.5"], "Did you mean 'accuracy'?"),
        (["report"], ["--fail-under", "recall.cat=0.5"], "must name a class of the data. Received: 'recall.cat'"),
        (
            ["report"],
            ["--fail-if-worse", "accuracy=0.01"],
            "name it with --baseline, in Python `baseline=`. Received: accuracy=0.01",
        ),
        (
            ["report"],
            ["--fail-if-worse", "f1.0=0.01"],
            "takes accuracy, balanced-accuracy, recall.<class>",
        ),
        (["report"], ["--baseline", "nowhere"], "nowhere"),
        (["report"], ["--assets", "cdn"], "'cdn'"),
        (["compare", "nowhere"], [], "nowhere"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_written(
    finished: FinishedRun,
    tmp_path: Path,
    command: list[str],
    gate: list[str],
    words: str,
) -> None:
    run = copied(finished, tmp_path / "run")
    (run / "report.html").unlink()
    result = invoke(*command, run, *gate)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (run / "report.html").exists()


def test_runs_on_other_images_are_not_compared(finished: FinishedRun, tmp_path: Path) -> None:
    dataset = dataclasses.replace(
        reading.load(finished.folder).diagnosis.dataset, test_fingerprint="images:" + "0f" * 32
    )
    result = invoke("compare", edited(finished.folder, tmp_path / "other", dataset=dataset), finished.folder)
    assert result.exit_code == 2
    assert "same test images" in result.stderr


@pytest.mark.parametrize("command", ["report", "compare"])
def test_the_summary_is_shown_below_the_job(
    finished: FinishedRun,
    better: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step"))
    run = copied(finished, tmp_path / "run")
    arguments = [run] if command == "report" else [better, run, "--out", run]
    assert invoke(command, *arguments).exit_code == 0
    assert (tmp_path / "step").read_text() == "\n" + (run / "summary.md").read_text()


def test_a_summary_that_cannot_be_shown_is_a_warning(
    finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "nowhere" / "step"))
    result = invoke("report", copied(finished, tmp_path / "run"))
    assert result.exit_code == 0
    assert "Warning: The summary can't be appended to GITHUB_STEP_SUMMARY" in result.stderr


def test_a_run_with_baseline_and_gates(finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, step = tmp_path / "run", tmp_path / "step"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    process = invoke(
        "train-and-report", *QUICK, "--optimizer", "adam", "--learning-rate", "0.001", "--out", out, "--json",
        "--baseline", finished.folder, "--fail-under", "accuracy=1", "--fail-if-worse", "accuracy=1",
        "--assets", "folder",
    )  # fmt: skip
    assert process.exit_code == 3, process.stderr
    assert {"report.html", "report.json", "summary.md", "summary.png", "model.keras"} <= set(os.listdir(out))
    printed = json.loads(process.stdout)
    diagnosis = reading.load(out).diagnosis
    comparison, before = diagnosis.comparison, reading.load(finished.folder).diagnosis
    assert comparison
    assert printed["comparison"] == {
        "difference": comparison.difference,
        "difference_low": comparison.difference_low,
        "difference_high": comparison.difference_high,
        "p_value": comparison.p_value,
        "fixed": len(comparison.fixed),
        "broken": len(comparison.broken),
    }
    assert comparison.difference == pytest.approx(diagnosis.test.accuracy - before.test.accuracy)
    assert {each.name for each in comparison.changes} >= {"optimizer", "learning_rate"}
    assert [(each["name"], each["passed"]) for each in printed["gates"]] == [("accuracy", False), ("accuracy", True)]
    assert printed["gates"][0]["actual"] == diagnosis.test.accuracy
    assert f"Gate FAILED accuracy: expected at least 1, actual {diagnosis.test.accuracy:.6g}\n" in process.stderr
    assert 'id="comparison"' in (out / "report.html").read_text()
    assert (out / "assets" / "fixed.webp").exists() == bool(comparison.fixed)
    assert (out / "assets" / "misclassified.webp").exists()
    assert step.read_text() == "\n" + (out / "summary.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fail-under", "recall.cat=0.5"], "must name a class of the data. Received: 'recall.cat'"),
        (["--fail-under", "acuracy=0.5"], "Did you mean 'accuracy'?"),
        (["--fail-if-worse", "accuracy=0.5"], "name it with --baseline"),
        (["--baseline", "{finished}", "--limit-test", "50"], "same test images"),
        (["--baseline", "nowhere"], "nowhere"),
        (["--templates", "nowhere"], "nowhere"),
        (["--metadata", "nowhere.csv"], "must be a file that exists. Received: nowhere.csv"),
        (["--groups", "patient"], "Received: 'patient' without metadata"),
    ],
)
def test_invalid_gates_and_baselines_are_refused_before_training(
    finished: FinishedRun, tmp_path: Path, arguments: list[str], words: str
) -> None:
    arguments = [argument.format(finished=finished.folder) for argument in arguments]
    result = invoke("train-and-report", *QUICK, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Range test" not in result.stderr


NETS = """
import keras

def dense(image_shape, classes):
    return keras.Sequential([keras.Input(image_shape), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(),
                             keras.layers.Dense(classes)])

def two_classes(image_shape):
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(2)])

def exploding(image_shape, classes):
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(classes)])
"""


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of every test: it contains `nets.py`, no pyproject.toml, and no data are set."""
    monkeypatch.delenv("LRDIAG_DATA_DIR", raising=False)
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


def test_a_network_that_does_not_fit_the_classes_is_refused() -> None:
    result = invoke("train-and-report", *QUICK, "--model", "nets:two_classes")
    assert result.exit_code == 2
    assert "(8, 10)" in result.stderr
    assert "(8, 2)" in result.stderr


def test_a_network_without_convolution_gives_a_page_that_explains_the_missing_heatmaps(nets: Path) -> None:
    options = ["--model", "nets:dense", "--learning-rate", "0.01", "--out", "run"]
    result = invoke("train-and-report", *QUICK, *options)
    assert result.exit_code == 0, result.stderr
    report = json.loads((nets / "run" / "report.json").read_text())
    assert report["heatmaps"]["count"] == 0
    assert "convolution" in report["heatmaps"]["unavailable"]
    assert "needs a convolution" in (nets / "run" / "report.html").read_text()


def test_a_page_of_a_diverged_run_begins_with_the_divergence(nets: Path) -> None:
    options = ["--model", "nets:exploding", "--learning-rate", "1e30", "--schedule", "constant", "--out", "run"]
    result = invoke("train-and-report", *QUICK, *options)
    assert result.exit_code == 0, result.stderr
    report = json.loads((nets / "run" / "report.json").read_text())
    assert "not finite" in report["training"]["stop_reason"]
    assert report["training"]["epochs"] == []  # the epoch was undone
    found = report["findings"][0]
    assert "training-stopped" in [found["code"], *(each["code"] for each in found["effects"])]
    page = (nets / "run" / "report.html").read_text()
    assert 0 < page.index("not finite") < page.index("<h2")


@pytest.mark.slow
def test_the_saved_model_predicts_from_raw_pixels_without_lrdiag(
    finished: FinishedRun,
) -> None:
    code = (
        "import keras, numpy as np, sys, warnings\n"
        "warnings.simplefilter('error', UserWarning)\n"  # such as variables that are skipped
        "model = keras.models.load_model(sys.argv[1])\n"
        "images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), 'uint8')\n"
        "print(model.predict(images, verbose=0).shape)\n"
        "assert 'lrdiag' not in sys.modules\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(finished.folder / "model.keras")], capture_output=True, text=True, check=False
    )
    assert process.stdout.strip() == "(4, 10)", process.stderr


def test_predictions_csv_agrees_with_the_report(finished: FinishedRun) -> None:
    report = json.loads((finished.folder / "report.json").read_text())
    rows = np.genfromtxt(finished.folder / "predictions.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    assert len(rows) == report["test"]["size"]
    assert set(rows["index"][rows["correct"] == 0]) == {item["index"] for item in report["misclassified"]["items"]}


SWEEP = ["--start-lr", "1e-5", "--end-lr", "0.05", "--iterations", "60"]
UNREADABLE = ["--start-lr", "1e-8", "--end-lr", "1e-7", "--iterations", "20"]


def find_lr(*arguments: str | Path) -> Result:
    """Sweeps a small network, which takes about a second."""
    small = ["--data", "digits", "--limit-train", "300", "--batch-size", "16", "--model", "nets:dense"]
    return invoke("find-lr", *small, *SWEEP, *arguments)


@pytest.fixture
def measured(nets: Path) -> Callable[..., dict[str, Any]]:
    def measure(*arguments: str) -> dict[str, Any]:
        result = find_lr("--json", *arguments)
        assert result.exit_code == 0, result.stderr
        facts: dict[str, Any] = json.loads(result.stdout)
        return facts

    return measure


@pytest.fixture
def swept(measured: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return measured()


def test_find_lr_prints_the_suggestion_alone_on_stdout_and_the_bounds_on_stderr(swept: dict[str, Any]) -> None:
    result = find_lr()
    assert len(result.stdout.split()) == 1
    assert float(result.stdout) == pytest.approx(swept["suggestion"], rel=0.01)
    assert stages_of(result.stderr)[:3] == ["Starting TensorFlow", "Reading the digits", "Range test"]
    rates = {name: formats.rate(swept[name]) for name in ("suggestion", "base_lr", "max_lr")}
    assert result.stderr.splitlines()[3:] == [
        f"Suggestion: {rates['suggestion']}, by the rule steepest. It is for a constant learning rate.",
        f"Boundaries of a cycle: base_lr {rates['base_lr']}, max_lr {rates['max_lr']}.",
        "Interval of the suggestion: not measured, because there was one sweep. Use --repeats 3.",
        f"The sweep ended after {len(swept['losses'])} updates: {swept['stop_reason']}.",
    ]


def test_find_lr_as_json_has_the_measurements_and_the_rates(swept: dict[str, Any]) -> None:
    columns = ("learning_rates", "losses", "smoothed_losses", "accuracies", "trend")
    assert {len(swept[name]) for name in columns} == {len(swept["losses"])}
    assert swept["val_losses"] == []
    assert max(swept["base_lr"], swept["suggestion"]) < swept["max_lr"]
    assert swept["learning_rate"] == swept["suggestion"]
    assert (swept["rule"], swept["repeats"]) == ("steepest", 1)
    assert swept["suggestion_low"] is swept["suggestion_high"] is None
    assert swept["stop_reason"]


def test_find_lr_prints_nothing_else_when_quiet(nets: Path) -> None:
    result = find_lr("--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert float(result.stdout) > 0


def test_find_lr_draws_the_sweep(nets: Path) -> None:
    result = find_lr("--plot", "sweep.svg")
    assert result.exit_code == 0, result.stderr
    drawing = ElementTree.parse(nets / "sweep.svg").getroot()
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(drawing.iter("{http://www.w3.org/2000/svg}path"))) > 20


@pytest.mark.parametrize("file", ["sweep.pdf", "missing/sweep.png", "folder.svg"])
def test_find_lr_refuses_invalid_plot_files_before_it_starts(nets: Path, file: str) -> None:
    (nets / "folder.svg").mkdir(exist_ok=True)
    result = find_lr("--plot", file)
    assert result.exit_code == 2
    assert file in result.stderr
    assert "Starting TensorFlow" not in result.stderr


def test_find_lr_reads_the_same_losses_by_another_rule(
    measured: Callable[..., dict[str, Any]], swept: dict[str, Any]
) -> None:
    valley = measured("--rule", "fastai-valley")
    assert valley["losses"] == swept["losses"]
    assert valley["rule"] == "fastai-valley"
    assert valley["learning_rate"] != swept["learning_rate"]


def test_find_lr_refuses_a_rule_that_does_not_exist(nets: Path) -> None:
    result = find_lr("--rule", "nonsense")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'nonsense'" in result.stderr
    assert "fastai-valley" in result.stderr
    assert "Starting TensorFlow" not in result.stderr


def test_repeated_sweeps_give_an_interval(measured: Callable[..., dict[str, Any]], swept: dict[str, Any]) -> None:
    repeated = measured("--repeats", "2")
    assert repeated["repeats"] == 2
    assert repeated["suggestion_low"] < repeated["suggestion_high"]
    assert repeated["losses"] != swept["losses"]


@pytest.mark.parametrize(
    ("arguments", "first", "last", "updates"),
    [
        ([], 1e-5, 0.05, 60),
        (["--start-lr", "1e-4"], 1e-4, 0.05, 60),
        (["--end-lr", "0.02"], 1e-5, 0.02, 60),
        (["--iterations", "50"], 1e-5, 0.05, 50),
    ],
)
def test_find_lr_passes_its_options_to_the_sweep(
    measured: Callable[..., dict[str, Any]], arguments: list[str], first: float, last: float, updates: int
) -> None:
    rates = measured(*arguments)["learning_rates"]
    assert rates == pytest.approx(np.geomspace(first, last, updates))


def test_find_lr_has_a_linear_mode(measured: Callable[..., dict[str, Any]]) -> None:
    rates = measured("--mode", "linear", "--rule", "fastai-valley")["learning_rates"]
    assert rates == pytest.approx(np.linspace(1e-5, 0.05, 60))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--mode", "sideways"], "--mode"),
        (["--iterations", "1"], "iterations"),
        (["--repeats", "0"], "repeats"),
        (["--start-lr", "0"], "start_lr"),
        (["--start-lr", "1", "--end-lr", "0.1"], "end_lr"),
    ],
)
def test_an_invalid_sweep_is_refused(arguments: list[str], word: str) -> None:
    result = find_lr(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert word in result.stderr
    assert "Starting TensorFlow" not in result.stderr


def test_a_sweep_without_suggestion_is_drawn_and_explained(nets: Path) -> None:
    result = find_lr(*UNREADABLE, "--plot", "sweep.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "flat" in result.stderr
    assert "20 updates" in result.stderr
    with Image.open(nets / "sweep.png") as drawing:
        assert drawing.format == "PNG"
        assert min(drawing.size) >= 300


def test_a_sweep_without_suggestion_is_written_as_json(nets: Path) -> None:
    result = find_lr(*UNREADABLE, "--json")
    assert result.exit_code == 2
    facts = json.loads(result.stdout)
    assert len(facts["losses"]) == 20
    assert (facts["learning_rate"], facts["suggestion"]) == (None, None)
