"""The device that the engine computes on."""

from __future__ import annotations

import os

from lrdiag.backend.engine import engine


def device() -> str:
    """Returns the device that the engine computes on, in words."""
    if accelerator := engine().accelerator():
        return str(accelerator)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"CPU, {cores} core{'s' if cores != 1 else ''}"


def has_gpu() -> bool:
    """Returns whether the engine computes on a GPU or another accelerator."""
    return engine().accelerator() is not None
