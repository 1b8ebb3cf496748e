"""The device that the engine computes on."""

from __future__ import annotations

import os


def device() -> str:
    """Returns the device that TensorFlow computes on, in words."""
    import tensorflow as tf

    if gpus := tf.config.list_physical_devices("GPU"):
        return f"GPU: {tf.config.experimental.get_device_details(gpus[0]).get('device_name', gpus[0].name)}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"CPU, {cores} core{'s' if cores != 1 else ''}"


def has_gpu() -> bool:
    """Returns whether TensorFlow computes on a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
