"""Starting an engine: which one, which messages are shown, and what importing lrdiag leaves alone."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lrdiag.backend import start
from lrdiag.backend.start import _filtered_stderr, _uncollected, chosen_engine, start_engine
from lrdiag.errors import SettingsError

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


@pytest.mark.parametrize(
    ("variable", "settings", "expected"),
    [
        ("jax", {"backend": "torch"}, "jax"),
        (None, {"backend": "torch"}, "torch"),
        (None, {"floatx": "float32"}, "tensorflow"),
        (None, ["not", "settings"], "tensorflow"),
        (None, None, "tensorflow"),
    ],
)
def test_the_engine_is_the_one_that_keras_will_choose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str | None, settings: object, expected: str
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if variable:
        monkeypatch.setenv("KERAS_BACKEND", variable)
    if settings is not None:
        (tmp_path / "keras.json").write_text(json.dumps(settings))
    assert chosen_engine() == expected


def test_an_engine_of_keras_that_lrdiag_does_not_run_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "openvino")
    with pytest.raises(SettingsError, match=r"tensorflow, jax, torch.*KERAS_BACKEND.*Received: .*'openvino'"):
        start_engine()


def test_an_engine_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_jax() -> str:
        raise ModuleNotFoundError("No module named 'jax'", name="jax")

    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(start, "device", import_jax)
    with pytest.raises(SettingsError, match=r"'jax' must be installed: .*'lrdiag\[jax\]'.*Received: no module 'jax'"):
        start_engine()


def test_what_an_engine_creates_is_never_examined_by_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[object] = []
    monkeypatch.setattr(start.atexit, "register", at_exit.append)
    try:
        with _uncollected():
            assert not gc.isenabled()
            kept: list[list[int]] = [[] for _ in range(1000)]
        assert gc.isenabled()
        assert not {id(each) for each in kept} & {id(each) for each in gc.get_objects()}
    finally:
        gc.unfreeze()
    assert at_exit == [gc.freeze]
