"""Training on several devices: `MirroredStrategy` on two halves of a processor, in one process.

TensorFlow divides its devices once and for all, so that process is one of its own.
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


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the process found."""
    folder = tmp_path_factory.mktemp("mirrored")
    process = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-4000:]
    return dict(json.loads((folder / "told.json").read_text()))


@pytest.mark.parametrize("rate", ["number", "schedule"])
def test_after_a_range_test_training_is_the_same_to_the_bit(told: dict[str, Any], rate: str) -> None:
    assert told[f"swept {rate}"] == told[f"bare {rate}"]


def test_a_range_test_on_two_devices_measures_what_it_does_on_one(told: dict[str, Any]) -> None:
    on_two, on_one = told["sweep"], told["sweep on one device"]
    assert len(on_two) == 20
    np.testing.assert_allclose(on_two, on_one, rtol=1e-5)


def test_a_policy_drives_rate_and_momentum_and_both_are_recorded(told: dict[str, Any]) -> None:
    np.testing.assert_allclose(told["rates"], Cyclic(0.01, 0.1, 6)(np.arange(12)), rtol=1e-6)
    assert told["momentums"][0] == pytest.approx(0.95)
    assert told["momentums"][6] == pytest.approx(0.85)
    assert told["trained rate"] == pytest.approx(told["rates"][-1])


def test_the_recorded_losses_make_up_those_of_the_history(told: dict[str, Any]) -> None:
    by_epoch = np.reshape(told["losses"], (3, 4)).mean(axis=1)
    np.testing.assert_allclose(by_epoch, told["history"], rtol=1e-6)


def test_the_training_leaves_its_report(told: dict[str, Any]) -> None:
    assert told["reported epochs"] == 3
    assert told["reported optimizer"] == "SGD, momentum 0.85–0.95"
