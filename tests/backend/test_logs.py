"""The names of figures in the logs, which Keras prefixes with the name of an output if there are several."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.backend.logs import Output, accuracy_name

CROSS_ENTROPY = "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("names", "accuracy"),
    [
        (["loss", "acc"], "acc"),
        (["val_accuracy", "binary_accuracy", "accuracy"], "accuracy"),
        (["loss", "auc", "val_accuracy"], None),
        (["kind_accuracy"], "kind_accuracy"),
        (["sparse_top_k_categorical_accuracy", "sparse_categorical_accuracy"], "sparse_categorical_accuracy"),
        (["top_k_categorical_accuracy"], None),
        (["accuracy", "weighted_accuracy"], "accuracy"),
        (["colour_accuracy", "species_accuracy"], None),
        (["accuracy", "accuracy_1", "loss"], None),  # two outputs of a subclassed model
    ],
)
def test_the_accuracy_is_that_of_the_only_output(names: list[str], accuracy: str | None) -> None:
    assert accuracy_name(names) == accuracy


def two_outputs(kind: str) -> keras.Model:
    """The name of the second output begins with that of the first."""
    inputs = keras.Input((2,))
    first, second = (keras.layers.Dense(2, activation="softmax", name=name)(inputs) for name in ("a", "a_b"))
    return keras.Model(inputs, [first, second] if kind == "list" else {"k": first, "k_l": second})


@pytest.mark.parametrize(
    ("kind", "output", "name", "loss", "metrics", "expected"),
    [
        ("list", "a", "a", [CROSS_ENTROPY] * 2, [["acc"], ["accuracy"]], ("a_loss", "a_acc")),
        ("list", 1, "a_b", [CROSS_ENTROPY] * 2, [["acc"], ["accuracy"]], ("a_b_loss", "a_b_accuracy")),
        ("list", 0, "a", [CROSS_ENTROPY] * 2, [None, ["accuracy"]], ("a_loss", None)),
        ("dict", "k", "k", {"k": CROSS_ENTROPY}, {"k_l": ["accuracy"]}, ("loss", None)),
        ("dict", "k_l", "k_l", {"k": CROSS_ENTROPY}, {"k_l": ["accuracy"]}, (None, "k_l_accuracy")),
    ],
)
def test_the_figures_are_those_of_the_output(
    kind: str, output: Any, name: str, loss: Any, metrics: Any, expected: tuple[str | None, str | None]
) -> None:
    model = two_outputs(kind)
    model.compile("sgd", loss, metrics=metrics, run_eagerly=True)
    model.trainable = False  # no gradients without a loss
    labels = np.zeros(2)
    targets = [labels] * 2 if kind == "list" else {"k": labels, "k_l": labels}
    logs = model.evaluate(np.ones((2, 2)), targets, return_dict=True, verbose=0)
    named = Output.of(model, output)
    assert named is not None
    assert named.name == name
    assert (named.loss_name(logs), named.accuracy_name(logs)) == expected


def test_a_single_output_has_no_prefix() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="only")])
    assert [Output.of(model, output) for output in (None, 0, "only")] == [None] * 3
