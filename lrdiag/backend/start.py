"""Starts the engine of Keras: TensorFlow with its fastest kernels, all without their informational messages."""

from __future__ import annotations

import atexit
import gc
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

from lrdiag.backend.device import device
from lrdiag.backend.engine import require_engine
from lrdiag.errors import SettingsError
from lrdiag.stopping import signals_held

_DEFAULT = "tensorflow"

# Messages of every start, and of machines without a GPU. Messages about a GPU that can't be used are passed on.
_INFORMATIONAL = re.compile(
    rb"^I\d{4} |^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: I "
    rb"|^WARNING: All log messages before absl::InitializeLog"
    rb"|^To enable the following instructions:"
    rb"|failed call to cuInit: .*(UNKNOWN ERROR \(303\)|CUDA_ERROR_NO_DEVICE)"
    rb"|Unable to register cu\w+ factory"
    rb"|computation placer already registered"
)


# TensorFlow: oneDNN is off by default on many processors, and 1.5 times as fast on them. Two kernels at once are 7 %
# faster in training than one (two cores, n=3): the gradients of a layer don't depend on each other.
# OpenCV: lrdiag lists the files that can't be read itself.
_ENVIRONMENT = {
    "OPENCV_LOG_LEVEL": "OFF",
    "TF_CPP_MIN_LOG_LEVEL": "1",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_NUM_INTEROP_THREADS": "2",
}


def chosen_engine() -> str:
    """Returns the Keras backend that the user chose, as Keras finds it: the environment, its settings, its default."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name
    folder = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))
    try:
        return str(json.loads((folder / "keras.json").read_text()).get("backend", _DEFAULT))
    except (OSError, ValueError, AttributeError):
        return _DEFAULT


def start_engine() -> None:
    """Imports Keras with its engine and initializes the devices. Warnings are shown, informational messages are not.

    Only the command line calls it. It sets environment variables that importing lrdiag leaves alone.

    Raises:
        SettingsError: If lrdiag doesn't run on the engine, or it isn't installed.
    """
    name = chosen_engine()
    require_engine(name)
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    try:
        with signals_held(), _filtered_stderr(), _uncollected():
            device()
    except ModuleNotFoundError as error:
        if error.name not in (name, "keras"):
            raise
        extra = "" if name == _DEFAULT else f"[{name}]"
        raise SettingsError(
            f"The Keras backend {name!r} must be installed: `python -m pip install 'lrdiag{extra}'`. To choose "
            f"another, set the environment variable KERAS_BACKEND. Received: no module {error.name!r}"
        ) from error


@contextmanager
def _uncollected() -> Iterator[None]:
    """Exempts what is created from garbage collection, now and when the process ends.

    Importing an engine creates half a million objects that live as long as the process. To examine them again and again
    takes a second while they are imported, a third of a second in each full collection, and a second at the end.
    """
    atexit.register(gc.freeze)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Holds back what native code writes to stderr, then writes the lines that aren't informational.

    Without a folder for temporary files, nothing is held back.
    """
    with _temporary_file() as held:
        if held is None:
            yield
            return
        sys.stderr.flush()
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            for line in held:
                if not _INFORMATIONAL.search(line):
                    with suppress(OSError):  # stderr is full or closed
                        os.write(2, line)


def _temporary_file() -> AbstractContextManager[IO[bytes] | None]:
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return nullcontext()
