"""Each engine's error of too little memory is recognised."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).with_name("memory_checks.py")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["tensorflow", "jax", "torch"])
def test_a_shortage_is_recognised(engine: str) -> None:
    if engine != "tensorflow":
        pytest.importorskip(engine)
    environment = {**os.environ, "KERAS_BACKEND": engine}
    done = subprocess.run([sys.executable, str(CHECKS)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
