"""A full disk, or too little memory: one message, the model where it says, and nothing half written."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
from click.testing import CliRunner, Result

from lrdiag.cli.app import main
from lrdiag.diagnosing import Reporter
from lrdiag.evaluation.evaluator import Evaluator

pytestmark = pytest.mark.slow

OPTIONS = ("--data", "digits", "--limit-train", "200", "--limit-test", "100", "--epochs", "1", "--no-open")
RATE = ("--learning-rate", "0.05")


def train(out: Path) -> Result:
    return CliRunner().invoke(main, ["train-and-report", *OPTIONS, *RATE, "--out", str(out)])


def no_space(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name[0] != "."}


def require_said_and_kept(result: Result) -> None:
    """The message says where the model is, and it is there."""
    assert result.exit_code == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("Error:") == 1
    said = re.search(r"The trained model is in (.*?\.keras)\. `lrdiag diagnose \1 --data digits`", result.stderr)
    assert said, result.stderr
    keras.saving.load_model(said[1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    assert train(out).exit_code == 0
    return out


def test_if_the_model_cannot_be_saved_the_older_run_is_intact(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    before = contents(out)
    monkeypatch.setattr(keras.Model, "save", no_space)
    result = train(out)
    assert result.exit_code == 2
    assert "model.keras cannot be written" in result.stderr
    assert "No space left on device" in result.stderr
    assert "`--resume` continues the training" in result.stderr
    assert contents(out) == before
    assert list(out.glob(".model-*")) == []


def test_if_the_report_cannot_be_written_the_model_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = tempfile.mkstemp

    def full(suffix: str | None = None, prefix: str | None = None, **options: Any) -> tuple[int, str]:
        if prefix == ".report-":
            no_space()
        return make(suffix, prefix, **options)

    monkeypatch.setattr(tempfile, "mkstemp", full)
    require_said_and_kept(train(tmp_path / "run"))


@pytest.mark.parametrize(
    "place", [(Reporter, "report"), (Reporter, "studied"), (Evaluator, "evaluate")], ids=lambda place: place[1]
)
def test_if_memory_runs_out_after_training_the_model_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[type, str]
) -> None:
    def too_much(*_: Any, **__: Any) -> None:
        raise MemoryError("Unable to allocate 9.00 GiB")

    monkeypatch.setattr(*place, too_much)
    result = train(tmp_path / "run")
    require_said_and_kept(result)
    assert "Choose a smaller batch with `--batch-size`" in result.stderr


def test_if_memory_runs_out_in_the_validation_the_model_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = keras.Model.evaluate

    def too_much(self: Any, *arguments: Any, **options: Any) -> Any:
        if options.get("_use_cached_eval_dataset"):  # in `fit`
            raise MemoryError("Unable to allocate 9.00 GiB")
        return evaluate(self, *arguments, **options)

    monkeypatch.setattr(keras.Model, "evaluate", too_much)
    require_said_and_kept(train(tmp_path / "run"))


@pytest.fixture(params=["100k", "1674k", "3498k"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can make a small disk")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_on_a_disk_that_is_full_nothing_is_half_written(small_disk: Path) -> None:
    out = small_disk / "run"
    result = train(out)
    print(small_disk.stat().st_size, result.exit_code, result.stderr.splitlines()[-1])
    assert "Traceback" not in result.stderr
    assert isinstance(result.exception, SystemExit | None)
    if result.exit_code == 2 and "The trained model is in" in result.stderr:
        require_said_and_kept(result)
    elif result.exit_code == 2:
        assert "No space left on device" in result.stderr
        assert not out.exists() or not (out / "model.keras").exists()
    assert not out.exists() or list(out.glob(".*-*")) == []
