"""The history of a training run as a record."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import keras
import pytest

import lrdiag
from lrdiag.errors import DataError
from lrdiag.record.facts import Epoch, TrainingRun
from lrdiag.training.history import accuracy_name, describe_optimizer, epoch_of, epochs_of, training_of


def model(optimizer: Any = "sgd") -> keras.Model:
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    if optimizer:
        net.compile(optimizer, "mse")
    return net


FIGURES = {
    "sparse_categorical_accuracy": [0.5, 0.6],
    "loss": [1.0, 0.5],
    "val_sparse_categorical_accuracy": [0.4, 0.3],
    "val_loss": [1.5, math.nan],
    "learning_rate": [0.1, 0.05],
}


def test_a_dictionary_is_read() -> None:
    training = training_of(FIGURES, model())
    assert training == TrainingRun(
        epochs=[Epoch(1.0, 0.5, 1.5, 0.4, None), Epoch(0.5, 0.6, None, 0.3, None)],
        learning_rate_per_step=[0.1, 0.05],
        loss_per_step=[],
        steps_per_epoch=1,
        epochs_planned=2,
        optimizer="SGD",
        schedule="",
        stop_reason=None,
        seconds=None,
    )


def test_a_history_has_the_number_of_planned_epochs() -> None:
    net = model()
    history = SimpleNamespace(history=FIGURES, model=net, params={"epochs": 30})
    training = training_of(history, net)
    assert training is not None
    assert training.epochs_planned == 30


def test_the_return_value_of_fit_is_read() -> None:
    import numpy as np

    net = model(keras.optimizers.Adam(0.1))
    history = net.fit(np.ones((4, 2)), np.ones(4), epochs=2, validation_split=0.5, verbose=0)
    training = training_of(history, net)
    assert training is not None
    assert [epoch.loss for epoch in training.epochs] == history.history["loss"]
    assert [epoch.val_loss for epoch in training.epochs] == history.history["val_loss"]
    assert training.optimizer == "Adam"


@pytest.mark.parametrize("history", [None, TrainingRun([], [], [], 1, 1, "", "", None, None)])
def test_a_record_is_returned_as_it_is(history: Any) -> None:
    assert training_of(history, model()) is history


@pytest.mark.parametrize("history", [{}, {"loss": "low"}, {"loss": 1.0}, [1.0, 0.5], "history"])
def test_anything_else_is_refused(history: Any) -> None:
    with pytest.raises(
        DataError, match=rf"`history` must be the return value of `model.fit`.*{type(history).__name__}"
    ):
        training_of(history, model())


def test_the_history_of_another_model_is_refused() -> None:
    other = model()
    with pytest.raises(DataError, match=r"`history` must come from training this model.*Received: the history of"):
        training_of(SimpleNamespace(history=FIGURES, model=other), model())


def test_a_shorter_list_is_left_out() -> None:
    """It is not known to which of four epochs two validations belong."""
    figures = {"loss": [4.0, 3.0, 2.0, 1.0], "val_loss": [3.5, 1.5], "accuracy": [0.1, 0.2, 0.3, 0.4]}
    assert [epoch.val_loss for epoch in epochs_of(figures)] == [None] * 4
    assert [epoch.accuracy for epoch in epochs_of(figures)] == [0.1, 0.2, 0.3, 0.4]


def test_an_epoch_has_its_duration() -> None:
    assert epoch_of({"loss": math.inf, "acc": 0.5}, 3.0) == Epoch(None, 0.5, None, None, 3.0)


@pytest.mark.parametrize(
    ("names", "accuracy"),
    [
        (["loss", "acc"], "acc"),
        (["val_accuracy", "binary_accuracy", "accuracy"], "binary_accuracy"),
        (["loss", "auc", "val_accuracy"], None),
        (["kind_accuracy"], "kind_accuracy"),
    ],
)
def test_the_accuracy_is_the_first_metric_with_such_a_name(names: list[str], accuracy: str | None) -> None:
    assert accuracy_name(dict.fromkeys(names, 0.0)) == accuracy


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (None, ""),
        (keras.optimizers.SGD(0.1), "SGD"),
        (keras.optimizers.SGD(0.1, momentum=0.9), "SGD, momentum 0.9"),
        (keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), "SGD, Nesterov momentum 0.9"),
        (keras.optimizers.AdamW(0.1, weight_decay=0.01), "AdamW, weight decay 0.01"),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, momentum=0.5)), "SGD, momentum 0.5"),
        (lrdiag.SGD(0.1, momentum=0.75), "SGD, momentum 0.75"),
        (keras.optimizers.MultiOptimizer(lambda variable: keras.optimizers.SGD(0.1)), "MultiOptimizer"),
    ],
)
def test_the_optimizer_is_described(optimizer: Any, words: str) -> None:
    assert describe_optimizer(model(optimizer)) == words


@pytest.mark.parametrize(
    ("momentums", "words"), [(None, "SGD, momentum 0.5"), ([0.95, 0.85, 0.95], "SGD, momentum 0.85–0.95")]
)
def test_a_cycled_momentum_is_described_by_its_range(momentums: list[float] | None, words: str) -> None:
    assert describe_optimizer(model(keras.optimizers.SGD(0.1, momentum=0.5)), momentums) == words
