"""Several devices and several processes give what one gives."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow
CHECKS = Path(__file__).with_name("device_checks.py")


def started(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHECKS), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(*processes: subprocess.Popen[str]) -> list[str]:
    try:
        said = [process.communicate(timeout=180)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, lines in zip(processes, said, strict=True):
        assert process.returncode == 0, lines[-4000:]
    return said


@pytest.fixture(scope="module")
def of_jax(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jax")
    finished(started("jax", folder))
    return folder


def assert_same(one: Path, several: Path) -> None:
    """Compares what was found, as far as both have it."""
    expected, found = dict(np.load(f"{one}.npz")), dict(np.load(f"{several}.npz"))
    assert {"find_lr", "LRFinder", "OneCycleLR", "CyclicLR"} <= found.keys() <= expected.keys()
    for name, values in found.items():
        if name == "mistakes":
            assert values.tolist() == expected[name].tolist()
        elif "map" in name or name == "scorecam":
            assert np.abs(values - expected[name]).max() <= 1e-6 * max(1, np.abs(expected[name]).max())
        else:
            np.testing.assert_allclose(values, expected[name], rtol=2e-4 if "find" in name.lower() else 1e-5)


def assert_same_report(one: Path, several: Path) -> None:
    expected, found = (json.loads((folder / "report.json").read_text()) for folder in (one, several))
    for name in ("loss_per_step", "learning_rate_per_step", "momentum_per_step"):
        np.testing.assert_allclose(found["training"][name], expected["training"][name], rtol=1e-5)
    assert [each["code"] for each in found["findings"]] == [each["code"] for each in expected["findings"]]
    assert predicted(several) == predicted(one)


def predicted(folder: Path) -> list[Any]:
    rows = (folder / "predictions.csv").read_text().splitlines()
    return [row.split(",")[:3] for row in rows]


def test_four_jax_devices(of_jax: Path) -> None:
    assert_same(of_jax / "one", of_jax / "four")
    assert_same_report(of_jax / "one", of_jax / "four")


def test_two_jax_processes(of_jax: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    said = finished(*(started("process", tmp_path, port, number) for number in (0, 1)))
    for number in (0, 1):
        assert_same(of_jax / "one", tmp_path / f"process {number}")
    assert_same_report(of_jax / "one", tmp_path / "process 0")
    assert not (tmp_path / "process 1").exists()
    assert "lrdiag warning" in said[0]
    assert "lrdiag" not in said[1]


def test_mirrored_strategy(tmp_path: Path) -> None:
    finished(started("tensorflow", tmp_path))
    assert_same(tmp_path / "one", tmp_path / "two")
    assert_same_report(tmp_path / "one", tmp_path / "two")
