"""Labels in every form: converted to class indices, or refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from lrdiag.data.labels import LabelReader
from lrdiag.errors import DataError

NAMES = ["cat", "dog", "ship"]


@pytest.mark.parametrize(
    ("labels", "indices"),
    [
        ([2, 0], [2, 0]),
        ([[2], [0]], [2, 0]),
        ([[0.2, 0.8], [0.9, 0.1]], [1, 0]),
        (np.array([[0.1, 0.2, 0.701]], "float16"), [2]),
        (np.array([[0, 1, 0]], bool), [1]),
        (np.array([[0, 1, 0]]), [1]),
        ([True, False], [1, 0]),
        (np.array([3.0], "float16"), [3]),
        (np.array([250], "uint8"), [250]),
        (np.array([2, 0], object), [2, 0]),
        ([-1, 1], [-1, 1]),
        ([[-1, 1, -1], [1, -1, -1]], [1, 0]),
        (sparse.csr_matrix([[0, 1], [1, 0]]), [1, 0]),
        (tf.sparse.from_dense([[0, 1], [1, 0]]), [1, 0]),
        (["dog", "cat"], [1, 0]),
        (np.array([["ship"], ["cat"]]), [2, 0]),
        (tf.constant(["dog", "ship"]), [1, 2]),
        (np.array(["dog", "cat"], object), [1, 0]),
    ],
    ids=[
        "indices", "column", "soft", "soft-rounded", "one-hot-booleans", "one-hot-integers", "booleans", "floats",
        "bytes", "objects", "signs", "rows-of-signs", "scipy", "sparse-tensor", "names", "column-of-names",
        "tensor-of-names", "objects-of-names",
    ],
)  # fmt: skip
def test_labels_are_converted_to_class_indices(labels: Any, indices: list[int]) -> None:
    found = LabelReader(NAMES).read(labels)
    assert found.tolist() == indices
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    "row", [[1, 1, 0], [0, 0, 0], [0.9, 0.8, 0.1], [2, 0, 0], [1.5, -0.5, 0], [np.nan, 1, 0], [1, 1, -1]]
)
def test_a_row_that_is_neither_one_hot_nor_soft_is_refused(row: list[float]) -> None:
    """The argmax of such rows would give an accuracy without meaning."""
    with pytest.raises(DataError, match=r"one-hot, or soft labels that sum to 1.*multi-label.*Received: 1 of 2 rows"):
        LabelReader().read([[0, 0, 1], row])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, 1], [2]], "multi-label.*rows of different lengths"),
        (tf.ragged.constant([[0, 1], [2]]), "multi-label.*rows of different lengths"),
        ([[0.5, 0.5, 0], [1, 0, 0]], r"largest value.*1 of 2 rows with a tie, the first \[0\.5, 0\.5, 0\. \]"),
        (["cat", "frog"], r"one of `class_names`: 'cat', 'dog', 'ship'\. Received: 'frog'"),
        ([-1, 0, 1], "−1 and 1 for two classes.*Received: labels −1 and 0"),
        ([None, 1], "class indices.*dtype=object"),
        ([0.5, 1], "class indices"),
        ([["cat", "dog"]], "class indices.*dtype=<U3"),
    ],
    ids=["lists", "ragged", "tie", "unknown-name", "three-signs", "missing", "fraction", "several-names"],
)
def test_other_labels_are_refused_by_name(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        LabelReader(NAMES).read(labels)


def test_only_soft_labels_are_called_soft() -> None:
    reader = LabelReader()
    reader.read([[0, 1], [1, 0]])
    assert not reader.are_soft
    reader.read([[0.1, 0.9]])
    assert reader.are_soft
