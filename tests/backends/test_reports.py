"""`lrdiag diagnose` of one saved model writes the same report.json on TensorFlow, JAX and PyTorch."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lrdiag

pytestmark = pytest.mark.slow
ENGINES = ("tensorflow", "jax", "torch")
OF_THE_ENGINE = ("backend", "versions", "device", "command", "seconds", "created", "settings", "files")
BY_TENSORFLOW_ALONE = "independent"
TRUST = "/heatmaps/trust/"
CODE = """
import blocked
from lrdiag.cli.app import main
from lrdiag.explain import trust
trust.SECONDS = 600.0  # otherwise the number of images that are measured depends on the speed of the machine
main()
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of each engine. Those of JAX and PyTorch are written while TensorFlow can't be imported."""
    folder = tmp_path_factory.mktemp("reports")
    lrdiag.train_and_report("digits", epochs=3, limit_train=400, learning_rate=0.05, out=folder / "run")
    found = {}
    for engine in ENGINES:
        environment = {**os.environ, "KERAS_BACKEND": engine, "PYTHONPATH": str(Path(__file__).parent)}
        arguments = ["diagnose", "run/model.keras", "--data", "digits", "--out", engine]
        command = [sys.executable, "-c", CODE, *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        found[engine] = json.loads((folder / engine / "report.json").read_text())
    return found


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yields where two reports differ: numbers by more than 1e-5, the trust in heatmaps by more than 1e-3.

    Trust is measured by removing pixels in the order of the heatmap. Rounding decides between pixels that are alike.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if key not in (*OF_THE_ENGINE, BY_TENSORFLOW_ALONE):
                yield from differences(one.get(key), other.get(key), f"{path}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, theirs, f"{path}/{place}")
    elif isinstance(one, float) and isinstance(other, float):
        tolerance = 1e-3 if path.startswith(TRUST) else 1e-5
        if not math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance):
            yield f"{path}: {one} and {other}"
    elif one != other:
        yield f"{path}: {one} and {other}"


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_the_reports_are_the_same(reports: dict[str, Any], engine: str) -> None:
    assert reports[engine]["backend"] == engine
    assert list(differences(reports["tensorflow"], reports[engine])) == []
    assert reports["tensorflow"]["misclassified"]["count"] > 0


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_what_only_tensorflow_can_check_is_skipped_with_the_reason(reports: dict[str, Any], engine: str) -> None:
    check = reports[engine]["heatmaps"][BY_TENSORFLOW_ALONE]
    assert check["skipped"] == "tf-keras-vis runs on TensorFlow only"
