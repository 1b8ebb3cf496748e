"""Small programs have the same findings on TensorFlow, JAX and PyTorch. TensorFlow is imported only for itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
CHECKS = Path(__file__).with_name("finding_checks.py")
Findings = dict[str, list[list[str]]]


def findings(engine: str) -> tuple[list[str], Findings]:
    """Runs the programs, and returns the names of the faulty ones, and the findings of each."""
    environment = {**os.environ, "KERAS_BACKEND": engine}
    command = [sys.executable, str(CHECKS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return found["faulty"], found["findings"]


@pytest.fixture(scope="module")
def of_tensorflow() -> tuple[list[str], Findings]:
    return findings("tensorflow")


def test_a_faulty_program_has_its_finding_and_a_sound_one_has_none(of_tensorflow: tuple[list[str], Findings]) -> None:
    faulty, found = of_tensorflow
    assert {name: [code for code, _, _ in each] for name, each in found.items()} == {
        name: [name] if name in faulty else [] for name in found
    }


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_findings_are_those_of_tensorflow(engine: str, of_tensorflow: tuple[list[str], Findings]) -> None:
    assert findings(engine) == of_tensorflow
