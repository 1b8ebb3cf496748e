"""Names of classes in every form, and those that data carries."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from lrdiag.data.class_names import chosen_names, names_carried_by, names_in_order
from lrdiag.errors import DataError

LABEL = SimpleNamespace(names=["cat", "dog"], num_classes=2)  # as the ClassLabel of `datasets` and of TensorFlow
FEATURES = {"image": SimpleNamespace(shape=(8, 8, 3)), "label": LABEL}


@pytest.mark.parametrize(
    "given",
    [
        ["cat", "dog"],
        {"dog": 1, "cat": 0},
        {1: "dog", 0: "cat"},
        {"1": "dog", "0": "cat"},
        {"cat": np.int64(0), "dog": np.int64(1)},
        {"cat": 0, "dog": 1}.keys(),
        np.array(["cat", "dog"]),
        tf.constant(["cat", "dog"]),
        (name for name in ("cat", "dog")),
        LABEL,
        FEATURES,
        SimpleNamespace(features=FEATURES),
        SimpleNamespace(info=SimpleNamespace(features=FEATURES)),
    ],
)
def test_names_in_any_form_are_put_in_order(given: Any) -> None:
    assert names_in_order(given) == ("cat", "dog")


@pytest.mark.parametrize(
    ("given", "received"),
    [
        ({"cat", "dog"}, "a set, which has no order"),
        ({"cat": 0, "dog": 2}, "from 'cat', 'dog' to 0, 2"),
        ({"cat": 0, "dog": 0}, "to 0, 0"),
        ({1: "cat", 2: "dog"}, "from 1, 2 to 'cat', 'dog'"),
        ({0: 1, 1: 2, 2: 0}, "from 0, 1, 2 to 1, 2, 0"),
        ({"cat": "0", "dog": "1"}, "to '0', '1'"),
        ("cat", "str 'cat'"),
        (2, "int 2"),
    ],
)
def test_names_without_an_order_are_refused(given: Any, received: str) -> None:
    with pytest.raises(DataError, match=f"`class_names` must name each class in the order.*Received: .*{received}$"):
        names_in_order(given)


def test_a_name_that_occurs_twice_gets_its_index() -> None:
    """ImageNet has two classes named crane."""
    assert names_in_order(["crane", "owl", "crane"]) == ("crane (0)", "owl", "crane (2)")


def test_a_mapping_of_folders_named_by_numbers() -> None:
    assert names_in_order({"0": 0, "1": 1, "10": 2}) == ("0", "1", "10")
    assert names_in_order({3: 0, 7: 1}) == ("3", "7")


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (SimpleNamespace(class_names=["cat", "dog"]), ("cat", "dog")),
        (SimpleNamespace(class_indices={"dog": 1, "cat": 0}), ("cat", "dog")),
        (SimpleNamespace(dataset=SimpleNamespace(class_to_idx={"cat": 0, "dog": 1})), ("cat", "dog")),
        (SimpleNamespace(dataset=SimpleNamespace(features=FEATURES)), ("cat", "dog")),
        (SimpleNamespace(class_names={"cat", "dog"}), None),
        (SimpleNamespace(class_names=len), None),
        (np.zeros(3), None),
        ({"image": np.zeros(3)}, None),
    ],
)
def test_names_that_data_carries_are_found(data: Any, names: Any) -> None:
    assert names_carried_by(data) == names


def test_given_names_win_and_carried_names_of_another_number_are_left_out() -> None:
    assert chosen_names(["a", "b"], ["c", "d"], 2) == (["a", "b"], ())
    assert chosen_names(None, ["c", "d"], 2) == (["c", "d"], ())
    names, (note,) = chosen_names(None, ["c", "d"], 3)
    assert names == ["0", "1", "2"]
    assert "names 2 classes, but the model scores 3" in note
    with pytest.raises(DataError, match=r"each of the 3 classes.*Received: 2 names$"):
        chosen_names(["a", "b"], None, 3)
