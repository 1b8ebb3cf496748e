"""What a run ran on: device, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version

_PACKAGES = ("lrdiag", "keras", "tensorflow", "numpy", "opencv-python-headless", "scikit-learn")


def device() -> str:
    """The device that TensorFlow computes on, in words."""
    import tensorflow as tf

    if gpus := tf.config.list_physical_devices("GPU"):
        return f"GPU: {tf.config.experimental.get_device_details(gpus[0]).get('device_name', gpus[0].name)}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"CPU, {cores} core{'s' if cores != 1 else ''}"


def has_gpu() -> bool:
    """Whether TensorFlow computes on a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    return {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}}


def git_commit() -> str | None:
    """The commit of the current folder, with a `+` where files have changed since; `None` outside a repository."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
