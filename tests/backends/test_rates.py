"""Learning rates and range tests are the same on TensorFlow, JAX and PyTorch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
CHECKS = Path(__file__).with_name("rate_checks.py")
BLOCKED = "import runpy, sys; sys.modules['tensorflow'] = None; runpy.run_path({!r}, run_name='__main__')"


def checked(engine: str) -> dict[str, list[float]]:
    """Runs the checks, and returns the losses of the range tests of each optimizer."""
    command = ["-c", BLOCKED.format(str(CHECKS))] if engine != "tensorflow" else [str(CHECKS)]
    environment = {**os.environ, "KERAS_BACKEND": engine}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    losses: dict[str, list[float]] = json.loads(done.stdout)
    return losses


@pytest.fixture(scope="module")
def of_tensorflow() -> dict[str, list[float]]:
    return checked("tensorflow")


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_rates_are_exact_and_range_tests_are_those_of_tensorflow(
    engine: str, of_tensorflow: dict[str, list[float]]
) -> None:
    found = checked(engine)
    assert {name: len(losses) for name, losses in found.items()} == dict.fromkeys(of_tensorflow, 30)
    for name, losses in found.items():
        np.testing.assert_allclose(losses, of_tensorflow[name], rtol=1e-4, err_msg=name)
