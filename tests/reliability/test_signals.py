"""Ctrl-C and SIGTERM at each stage of the command: the exit code, what is left, and what is said."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import pytest

from lrdiag.record import reading

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="Windows can't send these signals")]

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
SIGNALS = int(os.environ.get("LRDIAG_SIGNALS", "3"))
"""Signals at random moments."""
# A process that is started in the background of a shell ignores Ctrl-C, and so would its children.
LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import lrdiag.__main__"
DIGITS = ("--data", "digits", "--limit-train", "300", "--limit-test", "100")


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        code: Its exit code.
        said: What it printed on stderr.
        seconds: How long it took after the first signal.
    """

    code: int
    said: str
    seconds: float


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", LISTENING, *map(str, arguments)]


def training(out: Path, *options: str) -> list[str]:
    return command("train-and-report", *DIGITS, "--no-open", "--out", out, *options)


def signalled(arguments: Sequence[str], numbers: Sequence[int], after: str, wait: float = 0.0) -> Ended:
    """Sends signals, 0.3 seconds apart, some seconds after a line that begins with a text."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines, seen = [], threading.Event()

    def read() -> None:
        for line in process.stderr or ():
            lines.append(line)
            if line.startswith(after):
                seen.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert seen.wait(120), lines
        time.sleep(wait)
        sent = time.monotonic()
        for place, number in enumerate(numbers):
            time.sleep(0.3 if place else 0.0)
            process.send_signal(number)
        code = process.wait(60)
    finally:
        process.kill()
        reader.join()
        if process.stderr:
            process.stderr.close()
    return Ended(code, "".join(lines), time.monotonic() - sent)


def require_whole(folder: Path) -> None:
    """Nothing is half written: there is no folder, or it has a model that Keras loads, and a report of it or none."""
    if not folder.exists():
        return
    assert [path for path in folder.iterdir() if path.name.startswith((".writing", ".model"))] == []
    models = [path for path in (folder / "model.keras", folder / "unfinished" / "model.keras") if path.exists()]
    for model in models:
        keras.saving.load_model(model)
    assert models or (folder / "unfinished").is_dir()
    if (folder / "report.json").exists():
        assert (folder / "report.html").exists()
        reading.load(folder)


@pytest.mark.parametrize(
    ("number", "after", "wait"),
    [
        (signal.SIGTERM, "Starting", 0.5),  # imports
        (signal.SIGINT, "Reading", 1.0),  # range test
        (signal.SIGTERM, "Reading", 1.5),
    ],
)
def test_before_training_nothing_is_left(tmp_path: Path, number: int, after: str, wait: float) -> None:
    ended = signalled(training(tmp_path / "run"), [number], after, wait)
    assert ended.code == CODES[signal.Signals(number)], ended.said
    assert ended.said.splitlines()[-1] == ("Interrupted." if number == signal.SIGINT else "Terminated.")
    assert "Traceback" not in ended.said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_during_training_model_and_report_are_written(tmp_path: Path, number: int) -> None:
    ended = signalled(training(tmp_path / "run", "--epochs", "5000"), [number], "Range test", 5.0)
    assert ended.code == CODES[signal.Signals(number)], ended.said
    assert "Traceback" not in ended.said
    assert ended.seconds < 28
    run = reading.load(tmp_path / "run").diagnosis.training
    assert run is not None
    assert run.interrupted
    assert "with `--resume`" in ended.said
    require_whole(tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_leaves_out_the_report_and_keeps_the_model(tmp_path: Path, number: int) -> None:
    out = tmp_path / "run"
    ended = signalled(training(out, "--epochs", "5000"), [number, number], "Range test", 5.0)
    assert ended.code == CODES[signal.Signals(number)], ended.said
    assert ended.seconds < 5
    assert not (out / "report.html").exists()
    assert "The report was left out." in ended.said
    assert f"lrdiag diagnose {out / 'model.keras'} --data digits" in ended.said
    require_whole(out)


@pytest.mark.parametrize("after", ["Training", "Predicting and", "Checking the heatmaps"])
def test_after_training_the_report_is_completed(tmp_path: Path, after: str) -> None:
    ended = signalled(training(tmp_path / "run", "--epochs", "2", "--learning-rate", "0.05"), [signal.SIGTERM], after)
    assert ended.code == 143, ended.said
    assert "The model and its report are in" in ended.said
    run = reading.load(tmp_path / "run").diagnosis.training
    assert run is not None
    assert not run.interrupted
    require_whole(tmp_path / "run")


@pytest.mark.parametrize("name", ["check", "find-lr", "diagnose"])
def test_other_commands_end_with_one_line(tmp_path: Path, name: str) -> None:
    model: list[str] = []
    if name == "diagnose":
        network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3), keras.layers.Flatten()])
        network.add(keras.layers.Dense(10))
        network.save(tmp_path / "net.keras")
        model = [str(tmp_path / "net.keras"), "--out", str(tmp_path / "run"), "--no-open", "--data", "digits"]
    arguments = command(name, *(model or DIGITS[:4]))
    ended = signalled(arguments, [signal.SIGTERM], "Starting", 2.0)
    if ended.code != 0:  # else it was faster
        assert (ended.code, ended.said.splitlines()[-1]) == (143, "Terminated."), ended.said
        assert not (tmp_path / "run").exists()


def test_at_random_moments_nothing_is_lost(tmp_path: Path) -> None:
    generator = random.Random(os.environ.get("LRDIAG_SIGNALS", "0"))
    for place in range(SIGNALS):
        out, number = tmp_path / str(place), generator.choice(list(CODES))
        options = ("--epochs", "30", "--learning-rate", "0.05")
        wait = generator.uniform(0.0, 14.0)
        ended = signalled(training(out, *options), [number] * generator.choice([1, 1, 2]), "Starting", wait)
        left = sorted(path.name for path in out.iterdir()) if out.exists() else []
        print(f"{number.name} after {wait:.1f} s: exit {ended.code} in {ended.seconds:.1f} s, left {left[-4:]}")
        assert ended.code in (CODES[number], 0), ended.said
        assert "Traceback" not in ended.said, ended.said
        assert ended.seconds < 28
        has_trained = "Training:" in ended.said and "Training: 0." not in ended.said
        assert not has_trained or any((out / name / "model.keras").exists() for name in (".", "unfinished"))
        require_whole(out)
