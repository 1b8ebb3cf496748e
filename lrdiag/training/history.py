"""The history of a Keras training run as a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from lrdiag.backend.logs import accuracy_name
from lrdiag.backend.optimizers import HyperParameters, inner_optimizers
from lrdiag.errors import DataError
from lrdiag.record.arrays import finite
from lrdiag.record.facts import Epoch, TrainingRun

_RATES = ("learning_rate", "lr")  # the name in Keras 3, and in Keras 2


def training_of(history: Any, model: keras.Model) -> TrainingRun | None:
    """Returns the record of a training run from the return value of `fit`.

    Args:
        history: A `keras.callbacks.History`, its `history` dictionary, a `TrainingRun`, or `None`.
        model: The trained model.

    Returns:
        The training run, or `None` for `None`. A dictionary or `History` has no single steps. The learning rate of
        each epoch is kept if a callback logged it.

    Raises:
        DataError: If the history belongs to another model, or has no list `loss`.
    """
    if history is None or isinstance(history, TrainingRun):
        return history
    figures = getattr(history, "history", history)
    trained = getattr(history, "model", model)
    if trained is not model:
        raise DataError(
            "`history` must come from training this model. Pass the history of this model, or `history.history` if "
            "you know that it belongs to it. "
            f"Received: the history of the model {getattr(trained, 'name', trained)!r} for {model.name!r}"
        )
    if not isinstance(figures, Mapping) or not _is_list(figures.get("loss")):
        raise DataError(
            "`history` must be the return value of `model.fit`, or its `history.history`: a dictionary with a list "
            f"`loss`. Received: {type(history).__name__}"
        )
    epochs = epochs_of(figures)
    planned = (getattr(history, "params", None) or {}).get("epochs") or len(epochs)
    rates: Sequence[float] = next((figures[name] for name in _RATES if _is_list(figures.get(name))), ())
    return TrainingRun(
        epochs=epochs,
        learning_rate_per_step=[float(rate) for rate in rates],  # one for each epoch
        loss_per_step=[],
        steps_per_epoch=1,
        epochs_planned=planned,
        optimizer=describe_optimizer(model),
        schedule="",
        stop_reason=None,
        seconds=None,
    )


def epochs_of(figures: Mapping[str, Sequence[float]]) -> list[Epoch]:
    """Returns the epochs in the dictionary of a history.

    Lists that are shorter than `loss` are left out: with `validation_freq`, they don't say which epochs they belong to.
    """
    count = len(figures["loss"])
    whole = {name: column for name, column in figures.items() if len(column) == count}
    return [epoch_of({name: column[place] for name, column in whole.items()}) for place in range(count)]


def epoch_of(figures: Mapping[str, float], seconds: float | None = None) -> Epoch:
    """Returns an epoch from the logs at its end."""
    accuracy = accuracy_name(figures)
    return Epoch(
        loss=finite(figures.get("loss")),
        accuracy=finite(figures.get(accuracy or "")),
        val_loss=finite(figures.get("val_loss")),
        val_accuracy=finite(figures.get(f"val_{accuracy}")),
        seconds=seconds,
    )


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
        momentums = [HyperParameters(optimizer).momentum() or 0.0]
    low, high = min(momentums), max(momentums)
    if high:
        kind = "Nesterov momentum" if getattr(optimizer, "nesterov", False) else "momentum"
        words.append(f"{kind} {high:g}" if low == high else f"{kind} {low:g}–{high:g}")
    if optimizer.weight_decay:
        words.append(f"weight decay {float(optimizer.weight_decay):g}")
    return ", ".join(words)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
