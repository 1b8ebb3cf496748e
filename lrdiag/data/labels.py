"""The true class of each image, from labels in every form that Keras trains with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lrdiag.backend.arrays import dense, is_ragged
from lrdiag.errors import DataError

_ROUNDING = 0.01  # of the sum of a row of soft labels, in half precision
_SHOWN = 5  # names in a message


class LabelReader:
    """Converts the labels of one pass, batch by batch, to class indices.

    Example:
        >>> reader = LabelReader(["cat", "dog"])
        >>> reader.read(["dog", "cat"]).tolist(), reader.read([[0.9, 0.1]]).tolist(), reader.are_soft
        ([1, 0], [0], True)

    Attributes:
        are_soft: Whether a row was neither one-hot nor an index.

    Args:
        class_names: Name of each class, for labels that are names.
    """

    def __init__(self, class_names: Sequence[str] | None = None) -> None:
        self.are_soft = False
        self._names = class_names
        self._has_minus_one = self._has_zero = False

    def read(self, labels: Any) -> np.ndarray:
        """Returns class indices, `int64` of shape `(n,)`. They are −1 and 1 if the labels are.

        Args:
            labels: Class indices or names of shape `(n,)` or `(n, 1)`, or rows of shape `(n, classes)`: one-hot, −1
                with a single 1, or soft, each of which sums to 1.

        Raises:
            DataError: If they are anything else, such as rows that mark several classes.
        """
        array = _as_array(labels)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim == 1 and array.dtype.kind in "US":
            return self._indices_of_names(array)
        if array.ndim == 2 and array.dtype.kind in "buif":
            return self._classes_of_rows(array.astype(np.float64))
        if array.ndim != 1 or array.dtype.kind not in "buif" or (array % 1 != 0).any():
            raise DataError(
                "Labels must be class indices, integers of shape (n,), or one row per image. "
                f"Received: shape={array.shape}, dtype={array.dtype}"
            )
        return self._checked(array.astype(np.int64))

    def _indices_of_names(self, labels: np.ndarray) -> np.ndarray:
        decoded = np.char.decode(labels, "utf-8") if labels.dtype.kind == "S" else labels
        found, places = np.unique(decoded, return_inverse=True)
        if self._names is None:
            raise DataError(
                "Labels that are names need `class_names`, in the order of the model's outputs. Pass it, or pass class "
                f"indices. Received: {_listed(found)}"
            )
        indices = {name: index for index, name in enumerate(self._names)}
        unknown = [name for name in found if name not in indices]
        if unknown:
            raise DataError(
                f"Each label must be one of `class_names`: {_listed(self._names)}. Received: {_listed(unknown)}"
            )
        return np.array([indices[name] for name in found], np.int64)[places]

    def _classes_of_rows(self, rows: np.ndarray) -> np.ndarray:
        if (np.abs(rows) == 1).all():  # −1 for the other classes, as hinge losses take it
            rows = np.maximum(rows, 0)
        is_distribution = (rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1) <= _ROUNDING)
        wrong = np.flatnonzero(~is_distribution)
        if len(wrong):
            raise _several_classes(
                f"{len(wrong)} of {len(rows)} rows that are neither, the first {_shortened(rows[wrong[0]])}"
            )
        largest = rows.max(axis=1, keepdims=True)
        tied = np.flatnonzero((rows == largest).sum(axis=1) > 1)
        if len(tied):
            raise DataError(
                "The largest value in a row of soft labels is the true class, so there must be a single one. Leave "
                "those images out, or pass class indices. "
                f"Received: {len(tied)} of {len(rows)} rows with a tie, the first {_shortened(rows[tied[0]])}"
            )
        self.are_soft |= bool((largest < 1).any())
        return np.asarray(rows.argmax(axis=1), np.int64)

    def _checked(self, indices: np.ndarray) -> np.ndarray:
        """Returns the indices unless −1 and 0 occur together, in this batch or in different ones."""
        self._has_minus_one |= bool((indices == -1).any())
        self._has_zero |= bool((indices == 0).any())
        if self._has_minus_one and self._has_zero:
            raise DataError(
                "Labels must be class indices from 0, or −1 and 1 for two classes. Leave out images without a class, "
                "which −1 often marks. Received: labels −1 and 0"
            )
        return indices


def labels_of_output(labels: Any, output: str | int | None) -> Any:
    """Returns the labels of one output of a model that has several.

    Args:
        labels: Labels of one output; or a dictionary, or a tuple of arrays, with those of each output.
        output: Name of the output, or its index.

    Raises:
        DataError: If there are labels of several outputs, and `output` names none of them.
    """
    if isinstance(labels, Mapping):
        known: dict[Any, Any] = dict(labels)
    elif isinstance(labels, tuple) and labels and all(getattr(part, "shape", None) for part in labels):
        known = dict(enumerate(labels))
    else:
        return labels
    if len(known) == 1:
        return next(iter(known.values()))
    if output not in known:
        raise DataError(
            f"The labels are those of several outputs: {', '.join(map(repr, known))}. Say which to evaluate with "
            f"`output=`, or pass the labels of one output. Received: output={output!r}"
        )
    return known[output]


def _as_array(labels: Any) -> np.ndarray:
    if is_ragged(labels):
        raise _several_classes("rows of different lengths")
    try:
        array = np.asarray(dense(labels))
        # Names from TensorFlow, and whole columns from pandas, are arrays of Python objects
        return np.array(array.tolist()) if array.dtype == object and array.ndim else array
    except ValueError as error:
        raise _several_classes("rows of different lengths") from error


def _several_classes(received: str) -> DataError:
    return DataError(
        "A row of labels must be one-hot, or soft labels that sum to 1, because each image has one class. Labels that "
        "mark several classes, or none, are multi-label: they are not supported yet. "
        f"Received: {received}"
    )


def _shortened(row: np.ndarray) -> str:
    return np.array2string(row, separator=", ", threshold=10, edgeitems=5)


def _listed(names: Sequence[str] | np.ndarray) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
