"""The compiled loss: whether it takes logits, and its value for each image."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.explain.loss import compiled_loss, takes_logits, targets_of, values_of

losses = keras.losses
LOGITS = losses.SparseCategoricalCrossentropy(from_logits=True)
PROBABILITIES = losses.SparseCategoricalCrossentropy(from_logits=False)


def stated(net: keras.Model, output: str | int | None = None) -> bool | None:
    """What the compiled loss states about logits."""
    return takes_logits(compiled_loss(net, output))


def model(outputs: int = 1, *, named: bool = False) -> keras.Model:
    inputs = keras.Input((4,))
    heads = [keras.layers.Dense(3, name=name)(inputs) for name in "abc"[:outputs]]
    if named:
        return keras.Model(inputs, dict(zip("abc", heads, strict=False)))
    return keras.Model(inputs, heads if outputs > 1 else heads[0])


@pytest.mark.parametrize(
    ("loss", "from_logits"),
    [
        *[
            (kind(from_logits=from_logits), from_logits)
            for from_logits in (True, False)
            for kind in (
                losses.BinaryCrossentropy,
                losses.BinaryFocalCrossentropy,
                losses.CategoricalCrossentropy,
                losses.CategoricalFocalCrossentropy,
                losses.SparseCategoricalCrossentropy,
            )
        ],
        ("sparse_categorical_crossentropy", False),
        ("binary_crossentropy", False),
        ("bce", False),
        ("CategoricalCrossentropy", False),
        (losses.categorical_crossentropy, False),
        ("mse", None),
        (losses.MeanSquaredError(), None),
        (losses.CategoricalHinge(), None),
        (lambda y_true, y_pred: y_pred, None),
        (None, None),
    ],
)
def test_a_cross_entropy_states_whether_it_takes_logits(loss: Any, from_logits: bool | None) -> None:
    net = model()
    net.compile(loss=loss)
    assert stated(net) is from_logits


def test_a_model_that_is_not_compiled_states_nothing() -> None:
    assert stated(model()) is None


LISTED, NAMED = [LOGITS, PROBABILITIES, "mse"], {"a": LOGITS, "b": PROBABILITIES, "c": "mse"}


# Keras matches a dictionary of outputs only with a dictionary of losses.
@pytest.mark.parametrize(("named", "loss"), [(False, LISTED), (False, NAMED), (True, NAMED)])
def test_each_output_has_its_own_loss(named: bool, loss: Any) -> None:
    net = model(3, named=named)
    net.compile(loss=loss)
    assert [stated(net, output) for output in "abc"] == [True, False, None]
    if not named:
        assert [stated(net, place) for place in range(3)] == [True, False, None]
    assert stated(net, 7) is None


def test_one_loss_applies_to_all_outputs() -> None:
    net = model(2)
    net.compile(loss=LOGITS)
    assert [stated(net, output) for output in ("a", 1)] == [True, True]


def test_the_loss_of_a_single_output_may_be_in_a_dictionary() -> None:
    net = model()
    net.compile(loss={"a": LOGITS})
    assert stated(net) is True


def test_a_loss_that_keras_chooses_by_the_labels_takes_probabilities() -> None:
    net = model()
    net.compile(loss="crossentropy")
    assert stated(net) is False


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (losses.MeanAbsoluteError(), [0.5, 1.5]),
        (losses.mean_absolute_error, [0.5, 1.5]),
        (losses.CategoricalHinge(), [1.0, 3.0]),
        (lambda true, returned: keras.ops.abs(true - returned), [0.5, 1.5]),  # Keras takes the mean over the classes
        (lambda true, returned: keras.ops.take_along_axis(returned, true[:, None], 1)[:, 0], [0.5, -1.0]),
        (lambda true, returned: keras.ops.mean(keras.ops.abs(true - returned)), 1.0),
    ],
    ids=["class", "function", "hinge", "of-each-class", "of-indices", "of-the-batch"],
)
def test_a_loss_is_computed_for_each_image(loss: Any, expected: Any) -> None:
    labels, returned = np.array([0, 1]), np.array([[0.5, 0.5], [1.0, -1.0]])
    values = [values_of(loss, targets, returned) for targets in targets_of(loss, labels, 2)]
    assert next(each for each in values if each is not None).tolist() == expected
