"""Starting TensorFlow without its chatter, and with its fastest kernels."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# What TensorFlow says of itself on every start, and on a machine that simply has no GPU. A GPU that is there but
# cannot be used is another matter: that is passed on.
_CHATTER = re.compile(
    rb"^I\d{4} |^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: I "
    rb"|^WARNING: All log messages before absl::InitializeLog"
    rb"|^To enable the following instructions:"
    rb"|failed call to cuInit: .*(UNKNOWN ERROR \(303\)|CUDA_ERROR_NO_DEVICE)"
    rb"|Unable to register cu\w+ factory"
    rb"|computation placer already registered"
)


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for devices; real warnings pass, chatter does not."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    # off by default on many processors, and one and a half times as fast on them
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # a kernel shares itself among the cores already; kernels side by side only jostle for them
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
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
                if not _CHATTER.search(line):
                    os.write(2, line)
