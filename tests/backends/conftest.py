"""Tests of several engines, each in a process of its own."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

# scripts of processes of their own, which need KERAS_BACKEND
collect_ignore = [
    "blocked.py",
    "data_checks.py",
    "device_checks.py",
    "finding_checks.py",
    "network_checks.py",
    "rate_checks.py",
    "resume_checks.py",
    "smoke.py",
]


@pytest.fixture(autouse=True, scope="session")
def _engines() -> None:
    """Skips the tests if an engine is not installed; fails with `LRDIAG_REQUIRE_BACKENDS`."""
    missing = [name for name in ("jax", "torch") if find_spec(name) is None]
    if missing:
        refuse = pytest.fail if os.environ.get("LRDIAG_REQUIRE_BACKENDS") else pytest.skip
        refuse(f"not installed: {', '.join(missing)}. Run `python -m pip install -e '.[jax,torch]'`")
