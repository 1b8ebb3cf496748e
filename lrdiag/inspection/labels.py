"""Describes labels in any form, also in one that does not fit the model or its loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrdiag.record.observed import Labels

_SUM_ERROR = 0.01
_MOST_CLASSES = 100_000


def describe(labels: Any) -> Labels:
    """Describes the form of labels.

    Example:
        >>> describe(np.array([0, 2, 2])).counts, describe(np.array([[0.0, 255.0]])).sums_to_one
        ((1, 0, 2), False)

    Args:
        labels: Numbers of shape `(n,)`, `(n, 1)` or `(n, classes)`.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "buif" or array.ndim not in (1, 2):
        return Labels(width=0, low=float("nan"), high=float("nan"), whole=False, sums_to_one=None)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    low, high = float(array.min()), float(array.max())
    whole = array.dtype.kind in "bui" or bool((array % 1 == 0).all())
    if array.ndim == 2:
        sums = bool((array >= 0).all() and (np.abs(array.sum(axis=1) - 1) <= _SUM_ERROR).all())
        counts = np.bincount(array.argmax(axis=1), minlength=array.shape[1])
        return Labels(array.shape[1], low, high, whole, sums, tuple(counts.tolist()))
    return Labels(1, low, high, whole, None, _counts(array, low, high, whole))


def _counts(array: np.ndarray, low: float, high: float, whole: bool) -> tuple[int, ...]:
    if not whole or high >= _MOST_CLASSES:
        return ()
    if low == -1 and set(np.unique(array)) <= {-1, 1}:  # as a hinge loss takes them
        array = array > 0
    elif low < 0:
        return ()
    return tuple(np.bincount(array.astype(np.int64)).tolist())


def classes_of(labels: Any) -> np.ndarray | None:
    """Returns the class of each image, `int64` of shape `(n,)`, or `None` if the labels aren't of one class each."""
    array = np.asarray(labels)
    if array.dtype.kind not in "buif" or array.ndim not in (1, 2):
        return None
    if array.ndim == 2 and array.shape[1] > 1:
        return np.asarray(array.argmax(axis=1), np.int64)
    array = array.reshape(len(array))
    if (array % 1 != 0).any():
        return None
    return np.asarray(np.where(array == -1, 0, array), np.int64)
