"""The command line as a user meets it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from lrdiag import __version__, run_folder
from lrdiag.cli import _is_watched, main

SMALL = ["--limit-train", "300", "--limit-test", "60", "--epochs", "1", "--batch-size", "16"]
QUICK = ["--data", "digits", *SMALL, "--no-open"]


def lrdiag(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lrdiag", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "LRDIAG_DATA_DIR": "", **environment},
        check=False,
    )


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


HEAVY = {"tensorflow", "keras", "sklearn", "scipy", "matplotlib", "cv2", "PIL", "tf_keras_vis"}


def test_importing_the_package_brings_in_nothing_heavy() -> None:
    assert not modules_after("import lrdiag") & (HEAVY | {"numpy", "rich", "click"})


def test_help_brings_in_nothing_heavy() -> None:
    assert not modules_after("from lrdiag.cli import main\nmain(['--help'], standalone_mode=False)") & (
        HEAVY | {"numpy", "rich"}
    )


def test_version() -> None:
    assert lrdiag("--version").stdout.split()[-1] == __version__


def test_help_names_every_option() -> None:
    text = lrdiag("train-and-report", "--help").stdout
    options = (
        "--data --data-dir --model --epochs --batch-size --seed --limit-train --limit-test --out --augment --optimizer "
        "--schedule --learning-rate --mixed-precision --open --no-open --json --quiet --verbose"
    )
    for option in options.split():
        assert option in text


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("run")
    return out, lrdiag("train-and-report", *QUICK, "--out", out, "--json")


def test_a_run_ends_well(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    assert finished[1].returncode == 0, finished[1].stderr


def test_stdout_is_the_summary_alone(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, process = finished
    summary = json.loads(process.stdout)
    assert summary["report"] == str(out / "report.html")
    assert summary["test_size"] == 60
    assert 0 <= summary["accuracy_low"] <= summary["accuracy"] <= summary["accuracy_high"] <= 1


def test_stderr_is_one_line_a_stage_and_no_chatter(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    stages = [line.split(":")[0] for line in finished[1].stderr.splitlines()]
    assert stages == [
        "Starting TensorFlow",
        "Reading the digits",
        "Range test",
        "Training",
        "Predicting and explaining",
        "Writing the page",
    ]


def test_the_run_folder_is_complete(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    names = {path.name for path in finished[0].iterdir()}
    assert names >= {
        "report.html", "report.json", "summary.md", "model.keras", "predictions.csv", "history.csv", "range_test.csv",
    }  # fmt: skip
    assert not [name for name in names if name.startswith(".")]


def test_the_page_can_be_made_again(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    page = finished[0] / "report.html"
    before = page.read_bytes()
    page.unlink()
    process = lrdiag("report", finished[0])
    assert process.returncode == 0
    assert process.stdout.strip() == str(page)
    assert page.read_bytes() == before


def test_making_the_page_again_needs_no_tensorflow(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    loaded = modules_after(
        f"from lrdiag.cli import main\nmain(['report', {str(finished[0])!r}], standalone_mode=False)"
    )
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("option", "watched", "opened"), [("--open", True, True), ("--open", False, False), ("--no-open", True, False)]
)
def test_the_page_opens_only_before_a_person(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    watched: bool,
    opened: bool,
) -> None:
    launched: list[str] = []
    monkeypatch.setattr("lrdiag.pipeline.train_and_report", lambda *_, **__: run_folder.load(finished[0]))
    monkeypatch.setattr("lrdiag.cli._is_watched", lambda: watched)
    monkeypatch.setattr("click.launch", launched.append)
    assert CliRunner().invoke(main, ["train-and-report", option, "--out", "run"]).exit_code == 0
    assert launched == [str(Path("run") / "report.html")] * opened


def test_nobody_watches_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    monkeypatch.delenv("CI", raising=False)
    assert _is_watched()
    monkeypatch.setenv("CI", "true")
    assert not _is_watched()


def test_quiet_says_nothing(tmp_path: Path) -> None:
    process = lrdiag("train-and-report", *QUICK, "--learning-rate", "0.1", "--out", tmp_path, "-q")
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


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
    process = lrdiag("train-and-report", "--out", tmp_path, "--data", "no-such-folder", "-v")
    assert process.returncode == 2
    assert "Traceback" in process.stderr


def test_an_out_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = CliRunner().invoke(main, ["train-and-report", *QUICK, "--out", str(tmp_path / "file" / "run")])
    assert result.exit_code == 2
    assert "--out" in result.stderr


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert result.exit_code == 2
    assert "report.json" in result.stderr


def test_interrupting_ends_with_130_and_leaves_no_half_written_file(tmp_path: Path) -> None:
    endless = [*QUICK, "--learning-rate", "0.1", "--epochs", "5000", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "lrdiag", "train-and-report", *endless],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Reading the digits"):
            break
    time.sleep(5)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait() == 130, rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


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


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


def test_a_network_that_does_not_fit_the_classes_is_refused(nets: Path) -> None:
    process = lrdiag("train-and-report", *QUICK, "--model", "nets:two_classes", cwd=nets)
    assert process.returncode == 2
    assert "(8, 10)" in process.stderr
    assert "(8, 2)" in process.stderr


def test_a_network_without_convolution_gives_a_page_without_heatmaps_that_says_why(nets: Path) -> None:
    process = lrdiag(
        "train-and-report", *QUICK, "--model", "nets:dense", "--learning-rate", "0.01", "--out", "run", cwd=nets
    )
    assert process.returncode == 0, process.stderr
    report = json.loads((nets / "run" / "report.json").read_text())
    assert report["heatmaps"]["count"] == 0
    assert "convolution" in report["heatmaps"]["unavailable"]
    assert "needs a convolution" in (nets / "run" / "report.html").read_text()


def test_a_training_that_diverges_still_gives_a_page_that_says_so_first(nets: Path) -> None:
    options = ["--model", "nets:exploding", "--learning-rate", "1e30", "--schedule", "constant", "--out", "run"]
    process = lrdiag("train-and-report", *QUICK, *options, cwd=nets)
    assert process.returncode == 0, process.stderr
    report = json.loads((nets / "run" / "report.json").read_text())
    assert "not finite" in report["training"]["stop_reason"]
    assert report["findings"][0]["code"] == "training-stopped"
    page = (nets / "run" / "report.html").read_text()
    assert 0 < page.index("not finite") < page.index("<h2")


def test_the_saved_model_predicts_from_raw_pixels_without_lrdiag(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    code = (
        "import keras, numpy as np, sys\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), 'uint8')\n"
        "print(model.predict(images, verbose=0).shape)\n"
        "assert 'lrdiag' not in sys.modules\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(finished[0] / "model.keras")], capture_output=True, text=True, check=False
    )
    assert process.stdout.strip() == "(4, 10)", process.stderr


def test_predictions_csv_agrees_with_the_report(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    report = json.loads((finished[0] / "report.json").read_text())
    rows = np.genfromtxt(finished[0] / "predictions.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    assert len(rows) == report["test"]["size"]
    assert set(rows["index"][rows["correct"] == 0]) == {item["index"] for item in report["misclassified"]["items"]}
