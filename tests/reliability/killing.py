"""Kills `lrdiag train-and-report` at random points and resumes it, until the run is complete."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HERE = Path(__file__).parent
RUNS = {
    "dropout": ["--model", "small_net:build", "--optimizer", "adam", "--augment", "flip,crop,erase"],
    "plateau": ["--model", "small_net:build", "--schedule", "plateau", "--learning-rate", "0.1"],
    "stages": ["--image-size", "32", "--schedule", "one-cycle", "--learning-rate", "0.05:0.5", "--batch-size", "64"],
    "half": ["--model", "small_net:build", "--mixed-precision", "--schedule", "decay", "--optimizer", "adamw"],
}  # fmt: skip
"""Options of different kinds of training runs."""
_COMMON = ["--data", "digits", "--limit-train", "200", "--limit-test", "60", "--epochs", "4", "--no-open", "-q"]
RUN = "run"
"""Name of the run folder, which is part of the command on the page."""
_CODE = """
from lrdiag.cli.app import main
from lrdiag.explain import independent, trust
independent.SECONDS, trust.SECONDS = 0.0, 600.0  # otherwise what they measure depends on the speed of the machine
main()
"""
_CHECKPOINT = "unfinished/checkpoint.npz"
_TIMES = {"seconds", "time", "created", "files"}  # the digests of pages, which show times
_DURATION = re.compile(r"[\d.]+\s(s|min \d+\s?s)\b")  # in the text of a finding
_MOST_SECONDS = 120


@dataclass
class Trial:
    """One run, and how often it was killed and resumed."""

    kills: int = 0
    resumes: int = 0
    differences: list[str] = field(default_factory=list)


def trial(kind: str, folder: Path, whole: Path, kills: int, chance: random.Random, seconds: float) -> Trial:
    """Makes a run that is killed `kills` times, and compares it with one that was not.

    Args:
        kind: A key of `RUNS`.
        folder: The folder of the run folder.
        whole: The folder of the run folder of the uninterrupted run.
        kills: How many times to kill it. A process that ends before it is killed completes the run.
        chance: Chooses the points.
        seconds: How long the uninterrupted run took.
    """
    outcome = Trial()
    is_complete = False
    while not is_complete:
        is_resumed = (folder / RUN / _CHECKPOINT).exists()
        outcome.resumes += is_resumed
        share = chance.uniform(0.4, 0.9) if is_resumed else chance.uniform(0, 0.4)
        is_complete = run(kind, folder, share * seconds if outcome.kills < kills else None)
        outcome.kills += not is_complete and (folder / RUN / _CHECKPOINT).exists()  # earlier, it begins anew
    outcome.differences = differences(whole / RUN, folder / RUN)
    return outcome


def run(kind: str, folder: Path, kill_after: float | None = None) -> bool:
    """Begins or continues a run. Returns whether it is complete.

    Args:
        kind: A key of `RUNS`.
        folder: The folder of the run folder.
        kill_after: Seconds after which the process is killed: after its start, or after the first checkpoint if it
            begins the run. `None` lets it end.

    Raises:
        RuntimeError: If it ends with an error.
    """
    folder.mkdir(exist_ok=True)
    resume = ["--resume"] if (folder / RUN / _CHECKPOINT).exists() else []
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE, "train-and-report", *_COMMON, *RUNS[kind], "--out", RUN, *resume],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])},
    )
    try:
        if kill_after is not None and not resume:
            _wait_for_checkpoint(process, folder / RUN)
        output, _ = process.communicate(timeout=_MOST_SECONDS if kill_after is None else kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        if kill_after is None:
            raise
        return False
    if process.returncode:
        raise RuntimeError(f"{process.returncode}: {output}")
    return True


def _wait_for_checkpoint(process: subprocess.Popen[str], folder: Path) -> None:
    """Waits until there is something to resume. A process that is killed before has lost nothing."""
    began = time.monotonic()
    while not (folder / _CHECKPOINT).exists() and process.poll() is None and time.monotonic() - began < _MOST_SECONDS:
        time.sleep(0.02)


def differences(whole: Path, folder: Path) -> list[str]:
    """Returns in what two runs differ, except times."""
    found = _differences(_facts(whole), _facts(folder), "report.json")
    names = sorted(each.name for each in whole.iterdir())
    if names != sorted(each.name for each in folder.iterdir()):
        found.append(f"files: {sorted(each.name for each in folder.iterdir())}")
    found += [
        name
        for name in ("predictions.csv", "heatmaps.npz", "range_test.csv", "misclassified.webp")
        if (whole / name).exists() and (whole / name).read_bytes() != (folder / name).read_bytes()
    ]
    weights = [_weights(each / "model.keras") for each in (whole, folder)]
    found += [name for name, value in weights[0].items() if not np.array_equal(value, weights[1].get(name))]
    return found


def _facts(folder: Path) -> Any:
    return _without_times(json.loads((folder / "report.json").read_text()))


def _without_times(facts: Any) -> Any:
    if isinstance(facts, dict):
        return {name: _without_times(value) for name, value in facts.items() if name not in _TIMES}
    return [_without_times(each) for each in facts] if isinstance(facts, list) else facts


def _differences(one: Any, other: Any, path: str) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [each for key in keys for each in _differences(one.get(key), other.get(key), f"{path}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [each for place, pair in pairs for each in _differences(*pair, f"{path}[{place}]")]
    if isinstance(one, str) and isinstance(other, str):
        one, other = (_DURATION.sub("", each) for each in (one, other))
    return [] if one == other else [f"{path}: {one!r} and {other!r}"]


def _weights(model: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(model) as archive, archive.open("model.weights.h5") as stream, h5py.File(stream) as file:
        found: dict[str, np.ndarray] = {}
        file.visititems(lambda name, each: found.update({name: each[()]}) if isinstance(each, h5py.Dataset) else None)
        return found
