"""Arranges the maps of several calls and pictures in one map for each image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from lrdiag.explain.plan import Plan


def arranged(plan: Plan, of_call: Mapping[int, Any]) -> Any:
    """Adds the maps of the calls that belong to the same pictures, and stacks the maps of several pictures.

    Args:
        plan: Which calls belong to which pictures.
        of_call: The maps of each call, tensors of shape `(n, h, w)`. All are enlarged to the largest size.

    Returns:
        A tensor of shape `(n, pictures * h, w)`.
    """
    size = np.max([each.shape[1:] for each in of_call.values()], axis=0) if len(of_call) > 1 else None
    maps = [sum(_enlarged(of_call[call], size) for call in each.calls) for each in plan.maps]
    return ops.concatenate(maps, axis=1) if len(maps) > 1 else maps[0]


def _enlarged(maps: Any, size: np.ndarray | None) -> Any:
    """The maps at another size, as parts of the same score: more positions have lower values."""
    if size is None or tuple(maps.shape[1:]) == tuple(size):
        return maps
    share = float(np.prod(maps.shape[1:]) / np.prod(size))  # PyTorch takes no scalars of NumPy
    return share * ops.image.resize(maps[..., np.newaxis], tuple(size.tolist()), "bilinear")[..., 0]
