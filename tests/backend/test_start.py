"""What of TensorFlow's start-up reaches the user."""

from __future__ import annotations

import os

import pytest

from lrdiag.backend.start import _filtered_stderr

CHATTER = [
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


@pytest.mark.parametrize("line", CHATTER)
def test_chatter_is_held_back(capfd: pytest.CaptureFixture[str], line: str) -> None:
    with _filtered_stderr():
        os.write(2, f"{line}\n".encode())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("line", REAL)
def test_real_warnings_pass(capfd: pytest.CaptureFixture[str], line: str) -> None:
    with _filtered_stderr():
        os.write(2, f"{line}\n".encode())
    assert capfd.readouterr().err == f"{line}\n"


def fail() -> None:
    with _filtered_stderr():
        os.write(2, b"why it failed\n")
        raise ImportError


def test_a_failing_start_loses_no_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == "why it failed\n"
