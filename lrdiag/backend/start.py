"""Starts TensorFlow with its fastest kernels and without its informational messages."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# Messages of every start, and of machines without a GPU. Messages about a GPU that can't be used are passed on.
_INFORMATIONAL = re.compile(
    rb"^I\d{4} |^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: I "
    rb"|^WARNING: All log messages before absl::InitializeLog"
    rb"|^To enable the following instructions:"
    rb"|failed call to cuInit: .*(UNKNOWN ERROR \(303\)|CUDA_ERROR_NO_DEVICE)"
    rb"|Unable to register cu\w+ factory"
    rb"|computation placer already registered"
)


def start_tensorflow() -> None:
    """Imports TensorFlow and initializes its devices. Warnings are shown, informational messages are not.

    Only the command line calls it. It sets environment variables that importing lrdiag leaves alone, such as
    `KERAS_BACKEND`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    # off by default on many processors, and 1.5 times as fast on them
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # each kernel already uses all cores, so running several at once only slows them down
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with _filtered_stderr():
        import tensorflow as tf

        tf.constant(0.0)  # initializes the devices


@contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Holds back what native code writes to stderr, then writes the lines that aren't informational."""
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as held:
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
                    os.write(2, line)
