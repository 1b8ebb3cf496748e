"""What the tests of several rooms share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

pytest_plugins = ["fixtures.networks", "fixtures.regression", "fixtures.runs"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# what decides how output looks, and where it goes, is the tests' own
for name in ("COLUMNS", "FORCE_COLOR", "GITHUB_STEP_SUMMARY", "LINES", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(name, None)
os.environ["TERM"] = "xterm"


def pytest_configure(config: pytest.Config) -> None:
    """Gives the suite, doctests included, a cache folder of its own."""
    cache = tempfile.TemporaryDirectory(prefix="lrdiag-cache-")
    config.add_cleanup(cache.cleanup)
    os.environ["LRDIAG_CACHE_DIR"] = cache.name


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder of the real photographs: `cifar-10-batches-py/` and `images/{train,test}/<class>/`."""
    folder = os.environ.get("LRDIAG_DATA_DIR")
    if folder is None:
        pytest.skip("set LRDIAG_DATA_DIR to a folder that holds CIFAR-10")
    return Path(folder)
