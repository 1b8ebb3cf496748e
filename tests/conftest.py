"""The environment of the test suite, and fixtures that several rooms share.

The environment is set before anything imports NumPy or TensorFlow, which read it once. The processes that tests start
inherit it.
"""

from __future__ import annotations

import os
import site
import tempfile
import time
from pathlib import Path

import pytest

pytest_plugins = ["fixtures.networks", "fixtures.regression", "fixtures.runs"]

TEXT_VARIABLES = ("COLUMNS", "FORCE_COLOR", "LANGUAGE", "LINES", "NO_COLOR", "TERM")
FOLDER_VARIABLES = ("IPYTHONDIR", "KERAS_HOME", "MPLCONFIGDIR")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS")
# these control the suite itself
KEPT = (
    "KERAS_BACKEND",
    "LRDIAG_DATA_DIR",
    "LRDIAG_FUZZ",
    "LRDIAG_KILLS",
    "LRDIAG_REQUIRE_BACKENDS",
    "LRDIAG_REQUIRE_BROWSER",
    "LRDIAG_SIGNALS",
    "LRDIAG_UPDATE_GOLD",
)


def _forget_the_users_settings() -> None:
    """Removes variables that change what is printed, where files are kept, or what lrdiag does by default."""
    prefixes = ("GITHUB_", "JUPYTER_", "KERAS_", "LC_", "LRDIAG_", "TTY_", "XDG_")
    for name in list(os.environ):
        if name not in KEPT and (name in (*TEXT_VARIABLES, *FOLDER_VARIABLES, "CI") or name.startswith(prefixes)):
            del os.environ[name]
    os.environ |= {"LANG": "C.UTF-8", "MPLBACKEND": "agg", "TERM": "xterm", "TZ": "UTC"}
    time.tzset()


def _use_a_temporary_home() -> tempfile.TemporaryDirectory[str]:
    """Sets the home folder, and with it every cache, to a folder that is deleted when the session ends."""
    home = tempfile.TemporaryDirectory(prefix="lrdiag-home-")
    os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())  # packages there are still found
    os.environ["HOME"] = home.name
    return home


def _share_the_cores() -> None:
    """Gives each of several workers its share of the cores. Threads that compete for a core slow each other down."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    if workers > 1:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = str(max(1, cores // workers))
        os.environ |= dict.fromkeys(THREAD_VARIABLES, threads)


_forget_the_users_settings()
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"}
_share_the_cores()
if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker inherits the home folder of the process that started it
    _HOME = _use_a_temporary_home()


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of the real images: `cifar-10-batches-py/` and `images/{train,test}/<class>/`."""
    folder = os.environ.get("LRDIAG_DATA_DIR")
    if folder is None:
        pytest.skip("set LRDIAG_DATA_DIR to a folder that holds CIFAR-10")
    return Path(folder)
