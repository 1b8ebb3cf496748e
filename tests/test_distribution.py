"""Training on several devices: `MirroredStrategy` on two logical CPUs.

TensorFlow can divide its devices only once in a process, so `mirrored.py` runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrdiag.rate.curves import Cyclic

SCRIPT = Path(__file__).with_name("mirrored.py")

pytestmark = pytest.mark.slow  # operations outside of a compiled step are slow under a strategy


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of the process."""
    folder = tmp_path_factory.mktemp("mirrored")
    process = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-4000:]
    return dict(json.loads((folder / "results.json").read_text()))


@pytest.mark.parametrize("rate", ["number", "schedule"])
def test_training_after_a_range_test_is_bit_identical(results: dict[str, Any], rate: str) -> None:
    assert results[f"swept {rate}"] == results[f"bare {rate}"]


def test_a_range_test_on_two_devices_equals_one_on_one_device(results: dict[str, Any]) -> None:
    on_two, on_one = results["sweep"], results["sweep on one device"]
    assert len(on_two) == 20
    np.testing.assert_allclose(on_two, on_one, rtol=1e-5)


def test_a_policy_sets_rate_and_momentum_and_both_are_recorded(results: dict[str, Any]) -> None:
    np.testing.assert_allclose(results["rates"], Cyclic(0.01, 0.1, 6)(np.arange(12)), rtol=1e-6)
    assert results["momentums"][0] == pytest.approx(0.95)
    assert results["momentums"][6] == pytest.approx(0.85)
    assert results["trained rate"] == pytest.approx(results["rates"][-1])


def test_the_mean_of_the_recorded_losses_is_that_of_the_history(results: dict[str, Any]) -> None:
    by_epoch = np.reshape(results["losses"], (3, 4)).mean(axis=1)
    np.testing.assert_allclose(by_epoch, results["history"], rtol=1e-6)


def test_a_report_is_written(results: dict[str, Any]) -> None:
    assert results["reported epochs"] == 3
    assert results["reported optimizer"] == "SGD, momentum 0.85–0.95"
