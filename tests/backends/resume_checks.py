"""Resumes runs on one engine in one process, and compares them with uninterrupted ones.

Usage: PYTHONPATH=tests:tests/reliability KERAS_BACKEND=jax python tests/backends/resume_checks.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import blocked  # noqa: F401 – before Keras
from reliability.killing import differences

from lrdiag import train_and_report
from lrdiag.explain import independent, trust
from lrdiag.progress import Silence

COMMON: dict[str, Any] = {"data": "digits", "limit_train": 120, "limit_test": 40, "epochs": 3, "batch_size": 32}
RUNS: dict[str, dict[str, Any]] = {
    "small": {"model": "small_net:build", "schedule": "plateau", "learning_rate": 0.1, "augment": "flip,crop"},
    "adaptive": {"model": "small_net:build", "optimizer": "adam", "epochs": 2, "mixed_precision": True},
    "stages": {"image_size": 32, "model": "fast", "learning_rate": 0.05},
}


class Crashed(Exception):
    pass


class Crash(Silence):
    """Ends a run in the first step of its second epoch."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        if note.startswith("epoch 2/"):
            raise Crashed


def check(name: str, folder: Path) -> None:
    options = {**COMMON, **RUNS[name]}
    train_and_report(**options, out=folder / "whole")
    try:
        train_and_report(**options, out=folder / "stopped", progress=Crash())
    except Crashed:
        train_and_report(model=options["model"], out=folder / "stopped", resume=True)
    found = differences(folder / "whole", folder / "stopped")
    assert found == [], f"{name}: {found}"


independent.SECONDS, trust.SECONDS = 0.0, 600.0  # otherwise what they measure depends on the speed of the machine
for run in RUNS:
    with tempfile.TemporaryDirectory() as temporary:
        check(run, Path(temporary))
