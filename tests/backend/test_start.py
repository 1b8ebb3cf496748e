"""Starting TensorFlow: which messages are shown, and what importing lrdiag leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lrdiag.backend.start import _filtered_stderr

INFORMATIONAL = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795437122.080692    6193 cudart_stub.cc:31] Could not find cuda drivers on your machine",
    "2026-01-01 12:00:00.000000: I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow binary is",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow",
    "E0000 00:00:1795437129.368596    6193 cuda_platform.cc:52] failed call to cuInit: INTERNAL: UNKNOWN ERROR (303)",
]
REAL = [
    "W0000 00:00:1795437129.368596    6193 gpu_device.cc:2342] Cannot dlopen some GPU libraries.",
    "E0000 00:00:1795437129.368596    6193 cuda_platform.cc:52] failed call to cuInit: CUDA_ERROR_UNKNOWN",
    "DeprecationWarning: something that will break",
]


@pytest.mark.parametrize("line", INFORMATIONAL)
def test_informational_messages_are_hidden(capfd: pytest.CaptureFixture[str], line: str) -> None:
    with _filtered_stderr():
        os.write(2, f"{line}\n".encode())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("line", REAL)
def test_warnings_are_shown(capfd: pytest.CaptureFixture[str], line: str) -> None:
    with _filtered_stderr():
        os.write(2, f"{line}\n".encode())
    assert capfd.readouterr().err == f"{line}\n"


def fail() -> None:
    with _filtered_stderr():
        os.write(2, b"why it failed\n")
        raise ImportError


def test_a_failed_start_shows_all_messages(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == "why it failed\n"


def test_importing_lrdiag_sets_no_backend_and_rate_needs_no_engine() -> None:
    """`KERAS_BACKEND` belongs to the user. The mathematics in `lrdiag.rate` loads neither Keras nor TensorFlow."""
    code = """
import os, pkgutil, sys
import lrdiag, lrdiag.rate
for module in pkgutil.walk_packages(lrdiag.rate.__path__, "lrdiag.rate."):
    __import__(module.name)
assert not {"keras", "tensorflow"} & set(sys.modules)
for name in lrdiag.__all__:
    getattr(lrdiag, name)
assert "keras" in sys.modules
assert "KERAS_BACKEND" not in os.environ
"""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
