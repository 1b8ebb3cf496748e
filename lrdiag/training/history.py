"""The history of a Keras training run as a record."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

import keras

from lrdiag.backend.logs import Output, accuracy_name
from lrdiag.backend.optimizers import HyperParameters, inner_optimizers
from lrdiag.errors import DataError
from lrdiag.record.arrays import finite
from lrdiag.record.facts import Epoch, NotFinite, TrainingRun
from lrdiag.training.history_file import read_history

_RATES = ("learning_rate", "lr")  # the name in Keras 3, and in Keras 2
_VALIDATION = "val_"  # with `validation_freq`, these figures have fewer values than epochs
_Column = Sequence[float | None]  # `None`: the epoch has no such figure
LOSSES: tuple[Literal["loss", "val_loss"], ...] = ("loss", "val_loss")


def training_of(history: Any, model: keras.Model, output: str | int | None = None) -> TrainingRun | None:
    """Returns the record of a training run from the return value of `fit`.

    Args:
        history: A `keras.callbacks.History`; its figures by name, such as its `history` dictionary or a data frame; the
            path of a file of `keras.callbacks.CSVLogger` or of a JSON file of these figures; a list of several of
            these, one for each `fit`; a `TrainingRun`; or `None`.
        model: The trained model.
        output: The output whose loss and accuracy are read if the model has several: its name or its index.

    Returns:
        The training run, or `None` for `None`. It has no single steps. The learning rate of each epoch is kept if a
        callback logged it.

    Raises:
        DataError: If the history belongs to another model, has no list `loss`, or has lists that don't match.
    """
    if history is None or isinstance(history, TrainingRun):
        return history
    several = isinstance(history, list | tuple) and bool(history)
    parts = [_part(each, model, Output.of(model, output)) for each in (history if several else [history])]
    rates = [part.learning_rate_per_step for part in parts]
    return dataclasses.replace(
        parts[0],
        epochs=list(chain.from_iterable(part.epochs for part in parts)),
        learning_rate_per_step=list(chain.from_iterable(rates)) if all(rates) else [],
        epochs_planned=sum(part.epochs_planned for part in parts),
        not_finite=_first_not_finite(parts),
    )


def _part(history: Any, model: keras.Model, output: Output | None) -> TrainingRun:
    """Returns the record of one `fit`."""
    trained = getattr(history, "model", model)
    if trained is not None and trained is not model:
        raise DataError(
            "`history` must come from training this model. Pass the history of this model, or `history.history` if "
            "you know that it belongs to it. "
            f"Received: the history of the model {getattr(trained, 'name', trained)!r} for {model.name!r}"
        )
    figures, first_epoch = _figures(history)
    epochs = epochs_of(figures, output)
    last_epoch = (getattr(history, "params", None) or {}).get("epochs") or 0
    rate_name = next((name for name in _RATES if name in figures), "")
    rates = [row[rate_name] for row in _rows(figures) if rate_name in row]
    return TrainingRun(
        epochs=epochs,
        learning_rate_per_step=rates if len(rates) == len(epochs) else [],  # one for each epoch
        loss_per_step=[],
        steps_per_epoch=1,
        epochs_planned=max(last_epoch - first_epoch + 1, len(epochs)),
        optimizer=describe_optimizer(model),
        schedule="",
        stop_reason=None,
        seconds=None,
        first_epoch=first_epoch,
        output=None if output is None else output.name,
        not_finite=next(filter(None, map(not_finite_in, _rows(figures), count(first_epoch))), None),
    )


def _first_not_finite(parts: Sequence[TrainingRun]) -> NotFinite | None:
    """Returns the first loss that was not finite, with epochs counted over all parts."""
    earlier = 0
    for part in parts:
        if part.not_finite:
            place = part.not_finite.epoch - part.first_epoch
            return dataclasses.replace(part.not_finite, epoch=parts[0].first_epoch + earlier + place)
        earlier += len(part.epochs)
    return None


def _figures(history: Any) -> tuple[dict[str, _Column], int]:
    """Returns the figures of each epoch by name, and the number of the first epoch.

    Raises:
        DataError: If they are not figures by name, or have no list `loss`, or lists of different lengths.
    """
    first_epoch, columns = 1, getattr(history, "history", history)
    if isinstance(columns, str | Path):
        columns, first_epoch = read_history(Path(columns))
    names = [*(columns.columns if hasattr(columns, "columns") else getattr(columns, "keys", list)())]
    figures = {str(name): values for name in names if (values := _numbers(columns[name])) is not None}
    if "loss" not in figures:
        raise DataError(
            "`history` must be the return value of `model.fit`, its `history.history`, a data frame of it, the path of "
            "a file of CSVLogger, or a list of these: figures by name, with a list `loss`. "
            f"Received: {type(history).__name__}" + (f" with {', '.join(map(str, names))}" if names else "")
        )
    if hasattr(columns, "columns"):
        figures = {name: _measured(name, column) for name, column in figures.items()}
    _refuse_other_lengths(figures)
    epochs = getattr(history, "epoch", None)  # of the last `fit`, counted from 0; the lists are of all
    if isinstance(epochs, list) and epochs:
        first_epoch = max(1, epochs[-1] + 2 - len(figures["loss"]))
    return figures, first_epoch


def _measured(name: str, column: _Column) -> _Column:
    """Returns a column of a data frame, which has NaN for a validation that was not made."""
    if not name.startswith(_VALIDATION):
        return column
    return [None if value is None or math.isnan(value) else value for value in column]


def _numbers(column: Any) -> _Column | None:
    """Returns a column as a list of numbers, or `None` if it is something else."""
    if isinstance(column, str):
        return None
    values = column.values() if isinstance(column, Mapping) else column  # pandas writes a column as a mapping to JSON
    try:
        return [None if value is None else float(value) for value in values]
    except (TypeError, ValueError):
        return None


def _refuse_other_lengths(figures: Mapping[str, _Column]) -> None:
    epochs = len(figures["loss"])
    for name in (name for name in figures if name.endswith(("loss", "acc", "accuracy"))):
        column, fewest = figures[name], 0 if name.startswith(_VALIDATION) else epochs
        if not fewest <= len(column) <= epochs:
            raise DataError(
                "The lists of `history` must have one value for each epoch. Pass the history of one `fit`, or a list "
                f"of histories, one for each `fit`. Received: {epochs} values of loss, {len(column)} of {name}"
            )


def epochs_of(figures: Mapping[str, _Column], output: Output | None = None) -> list[Epoch]:
    """Returns the epochs in the dictionary of a history.

    Args:
        figures: The figures by name. Lists that are shorter than `loss` are left out: with `validation_freq`, they
            don't say which epochs they belong to.
        output: The output whose figures are read; `None` if the model has only one.
    """
    return [epoch_of(row, output=output) for row in _rows(figures)]


def _rows(figures: Mapping[str, _Column]) -> list[dict[str, float]]:
    epochs = len(figures["loss"])
    whole = {name: column for name, column in figures.items() if len(column) == epochs}
    rows = [{name: column[place] for name, column in whole.items()} for place in range(epochs)]
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def epoch_of(figures: Mapping[str, float], seconds: float | None = None, output: Output | None = None) -> Epoch:
    """Returns an epoch from the logs at its end.

    Args:
        figures: The logs.
        seconds: The duration of the epoch, or `None`.
        output: The output whose figures are read; `None` if the model has only one.
    """
    loss = "loss" if output is None else output.loss_name(figures)
    accuracy = accuracy_name(figures) if output is None else output.accuracy_name(figures)
    return Epoch(
        loss=finite(figures.get(loss or "")),
        accuracy=finite(figures.get(accuracy or "")),
        val_loss=finite(figures.get(f"val_{loss}")),
        val_accuracy=finite(figures.get(f"val_{accuracy}")),
        seconds=seconds,
    )


def not_finite_in(figures: Mapping[str, float], epoch: int, step: int | None = None) -> NotFinite | None:
    """Returns the first loss of these logs that is NaN or infinite, or `None`.

    Args:
        figures: The logs.
        epoch: The epoch that they belong to, counted from 1.
        step: The step in this epoch, counted from 1, or `None`.
    """
    for name in LOSSES:
        value = figures.get(name, 0.0)
        if not math.isfinite(value):
            return NotFinite(name, "NaN" if math.isnan(value) else "infinite", epoch, step)
    return None


def describe_optimizer(model: keras.Model, momentums: Sequence[float] | None = None) -> str:
    """Describes the optimizer in words. Empty if the model isn't compiled.

    Args:
        model: A trained model.
        momentums: The momentum of each step, if it changed.
    """
    if getattr(model, "optimizer", None) is None:
        return ""
    optimizer = inner_optimizers(model.optimizer)[0]
    words = [type(optimizer).__name__]
    if not momentums:
        momentums = [HyperParameters(optimizer, model).momentum() or 0.0]
    low, high = min(momentums), max(momentums)
    if high:
        kind = "Nesterov momentum" if getattr(optimizer, "nesterov", False) else "momentum"
        words.append(f"{kind} {high:g}" if low == high else f"{kind} {low:g}–{high:g}")
    if optimizer.weight_decay:
        words.append(f"weight decay {float(optimizer.weight_decay):g}")
    return ", ".join(words)
