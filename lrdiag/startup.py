"""Starting TensorFlow without its chatter, and with its fastest kernels."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# What TensorFlow and absl print about themselves, before any of the user's work has begun.
_CHATTER = re.compile(
    rb"^(WARNING: All log messages before absl::InitializeLog"
    rb"|[IWE]\d{4} \d\d:\d\d:\d\d"
    rb"|[IWE]\d{4} 00:00:\d+"
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
    rb"|To enable the following instructions:|I tensorflow/)"
)


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for devices; says only what is neither chatter nor expected."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    # off by default on many processors, and one and a half times as fast on them
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with _filtered_stderr():
        import tensorflow as tf

        tf.constant(0.0)  # wakes up the devices


@contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Holds back what native code writes to stderr, then passes on the lines that are not chatter."""
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
                if not _CHATTER.match(line):
                    os.write(2, line)
