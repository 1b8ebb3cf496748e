"""Data of every kind on each engine, each in a process of its own: `data_checks.py` has the checks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("engine", ["tensorflow", "jax", "torch"])
def test_every_kind_of_data_is_read(engine: str) -> None:
    command = [sys.executable, "-W", "error::UserWarning", str(Path(__file__).with_name("data_checks.py"))]
    environment = {**os.environ, "KERAS_BACKEND": engine}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("whole\n")
