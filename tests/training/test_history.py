"""The history of a training run as a record."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

import lrdiag
from lrdiag.errors import DataError
from lrdiag.record.facts import Epoch, NotFinite, TrainingRun
from lrdiag.training.history import describe_optimizer, epoch_of, epochs_of, training_of


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
        not_finite=NotFinite("val_loss", "NaN", 2),
    )


def test_a_history_has_the_number_of_planned_epochs() -> None:
    net = model()
    history = SimpleNamespace(history=FIGURES, model=net, params={"epochs": 30})
    training = training_of(history, net)
    assert training is not None
    assert training.epochs_planned == 30


def test_the_return_value_of_fit_is_read() -> None:
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


@pytest.mark.parametrize("history", [{}, {"loss": "low"}, {"loss": 1.0}, [1.0, 0.5], []])
def test_anything_else_is_refused(history: Any) -> None:
    with pytest.raises(
        DataError, match=rf"`history` must be the return value of `model.fit`.*{type(history).__name__}"
    ):
        training_of(history, model())


class Columns:
    """A data frame or a series, as far as its columns are concerned."""

    def __init__(self, columns: dict[str, Any], *, is_frame: bool = True) -> None:
        self._columns = columns
        if is_frame:
            self.columns = np.array([*columns], dtype=object)
        else:
            self.keys = columns.keys

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]


def arrays(figures: dict[str, list[float]]) -> dict[str, Any]:
    return {name: np.array(column) for name, column in figures.items()}


@pytest.mark.parametrize(
    "form",
    [
        arrays,
        lambda figures: Columns(arrays(figures)),
        lambda figures: Columns(figures, is_frame=False),
        lambda figures: {**figures, "per_class": [[0.1, 0.2], [0.3, 0.4]], "lr_of_steps": [0.1] * 7},
        lambda figures: {name: dict(enumerate(column)) for name, column in figures.items()},  # as pandas writes JSON
    ],
    ids=["arrays", "frame", "series", "other columns", "columns of JSON"],
)
def test_figures_are_read_in_every_form(form: Callable[[dict[str, list[float]]], Any]) -> None:
    figures = {**FIGURES, "val_loss": [1.5, 1.25]}
    assert training_of(form(figures), model()) == training_of(figures, model())


def test_a_validation_that_a_data_frame_does_not_have_is_not_a_nan() -> None:
    """pandas reads `NA`, which `CSVLogger` writes for an epoch without validation, as NaN."""
    training = training_of(Columns({"loss": [1.0, 0.5], "val_loss": [math.nan, 0.75]}), model())
    assert training is not None
    assert [epoch.val_loss for epoch in training.epochs] == [None, 0.75]
    assert training.not_finite is None


LOG = """epoch,accuracy,loss,val_accuracy,val_loss
4,0.5,1.0,NA,NA
5,0.75,nan,0.5,1.5
"""


@pytest.mark.parametrize("separator", [",", ";"])
def test_the_file_of_a_csv_logger_is_read(tmp_path: Path, separator: str) -> None:
    (tmp_path / "training.log").write_text(LOG.replace(",", separator))
    training = training_of(str(tmp_path / "training.log"), model())
    assert training is not None
    assert training.epochs == [Epoch(1.0, 0.5, None, None, None), Epoch(None, 0.75, 1.5, 0.5, None)]
    assert (training.first_epoch, training.epochs_planned) == (5, 2)
    assert training.not_finite == NotFinite("loss", "NaN", 6)


def test_a_json_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text(json.dumps(FIGURES))
    assert training_of(tmp_path / "history.json", model()) == training_of(FIGURES, model())


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (None, "No such file"),
        ("{broken", "Expecting property name"),
        ("epoch,loss\n0,1.0\n1,0.5\n0,1.0\n", "epochs that are not consecutive"),
    ],
)
def test_a_file_that_is_no_history_is_refused(tmp_path: Path, content: str | None, received: str) -> None:
    path = tmp_path / "history.csv"
    if content:
        path.write_text(content)
    with pytest.raises(DataError, match=rf"The file given as `history`.*history\.csv \({received}"):
        training_of(path, model())


def test_several_histories_are_joined() -> None:
    net = model()
    first = SimpleNamespace(history={"loss": [1.0, 0.5]}, model=net, params={"epochs": 5}, epoch=[0, 1])
    second = SimpleNamespace(history={"loss": [0.25, math.inf]}, model=net, params={"epochs": 4}, epoch=[2, 3])
    training = training_of([first, second], net)
    assert training is not None
    assert [epoch.loss for epoch in training.epochs] == [1.0, 0.5, 0.25, None]
    assert training.epochs_planned == 7
    assert training.not_finite == NotFinite("loss", "infinite", 4)


@pytest.mark.parametrize(("epoch", "first"), [([5, 6], 6), ([1], 1), ([0], 1)], ids=["resumed", "loop", "fit twice"])
def test_a_history_knows_its_first_epoch(epoch: list[int], first: int) -> None:
    """Keras keeps the figures of every `fit` with the same object, but the numbers of the last one only."""
    net = model()
    training = training_of(SimpleNamespace(history=FIGURES, model=net, params={"epochs": 7}, epoch=epoch), net)
    assert training is not None
    assert (training.first_epoch, training.epochs_planned) == (first, 8 - first)


@pytest.mark.parametrize(
    ("name", "column"), [("accuracy", [0.5]), ("accuracy", [0.5] * 3), ("val_loss", [0.5] * 3), ("val_acc", [0.5] * 3)]
)
def test_lists_of_other_lengths_are_refused(name: str, column: list[float]) -> None:
    with pytest.raises(DataError, match=rf"one value for each epoch.*2 values of loss, {len(column)} of {name}"):
        training_of({"loss": [1.0, 0.5], name: column}, model())


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
