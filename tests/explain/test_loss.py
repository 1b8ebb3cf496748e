"""Whether a compiled loss takes logits."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from lrdiag.explain.loss import says_from_logits

losses = keras.losses
LOGITS = losses.SparseCategoricalCrossentropy(from_logits=True)
PROBABILITIES = losses.SparseCategoricalCrossentropy(from_logits=False)


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
    assert says_from_logits(net) is from_logits


def test_a_model_that_is_not_compiled_states_nothing() -> None:
    assert says_from_logits(model()) is None


LISTED, NAMED = [LOGITS, PROBABILITIES, "mse"], {"a": LOGITS, "b": PROBABILITIES, "c": "mse"}


# Keras matches a dictionary of outputs only with a dictionary of losses.
@pytest.mark.parametrize(("named", "loss"), [(False, LISTED), (False, NAMED), (True, NAMED)])
def test_each_output_has_its_own_loss(named: bool, loss: Any) -> None:
    net = model(3, named=named)
    net.compile(loss=loss)
    assert [says_from_logits(net, output) for output in "abc"] == [True, False, None]
    if not named:
        assert [says_from_logits(net, place) for place in range(3)] == [True, False, None]
    assert says_from_logits(net, 7) is None


def test_one_loss_applies_to_all_outputs() -> None:
    net = model(2)
    net.compile(loss=LOGITS)
    assert [says_from_logits(net, output) for output in ("a", 1)] == [True, True]


def test_the_loss_of_a_single_output_may_be_in_a_dictionary() -> None:
    net = model()
    net.compile(loss={"a": LOGITS})
    assert says_from_logits(net) is True
