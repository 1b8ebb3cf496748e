"""A resumed run is the uninterrupted one on JAX and PyTorch, bit for bit on a CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[1]
CHECKS = Path(__file__).with_name("resume_checks.py")


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_a_resumed_run_is_the_uninterrupted_one(engine: str) -> None:
    environment = {**os.environ, "KERAS_BACKEND": engine, "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS / "reliability"), *sys.path])
    done = subprocess.run([sys.executable, str(CHECKS)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
