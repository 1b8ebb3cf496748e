"""What Keras tells of a training, as a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from lrdiag.backend.optimizers import current, inner_optimizers
from lrdiag.errors import DataError
from lrdiag.record.arrays import finite
from lrdiag.record.facts import Epoch, TrainingRun

_RATES = ("learning_rate", "lr")  # Keras's own name, and that of Keras 2


def training_of(history: Any, model: keras.Model) -> TrainingRun | None:
    """Reads a training out of what `fit` returned.

    Args:
        history: A `keras.callbacks.History`, the dictionary in it, a `TrainingRun`, or `None`.
        model: What was trained.

    Returns:
        The training; of a dictionary or `History` without single steps, but with the rates of the epochs where a
        callback logged them.

    Raises:
        DataError: If the history belongs to another model, or holds no epochs with a `loss`.
    """
    if history is None or isinstance(history, TrainingRun):
        return history
    figures = getattr(history, "history", history)
    trained = getattr(history, "model", model)
    if trained is not model:
        raise DataError(
            "`history` must come from training this model. Give the history of its own training, or "
            "`history.history` if you know that it belongs to it. "
            f"Received: the history of the model {getattr(trained, 'name', trained)!r} for {model.name!r}"
        )
    if not isinstance(figures, Mapping) or not _is_list(figures.get("loss")):
        raise DataError(
            "`history` must be what `model.fit` returned, or its `history.history`, a dictionary that holds a list "
            f"`loss`. Received: {type(history).__name__}"
        )
    epochs = epochs_of(figures)
    planned = (getattr(history, "params", None) or {}).get("epochs") or len(epochs)
    rates: Sequence[float] = next((figures[name] for name in _RATES if _is_list(figures.get(name))), ())
    return TrainingRun(
        epochs=epochs,
        learning_rate_per_step=[float(rate) for rate in rates],  # one an epoch: a step is an epoch here
        loss_per_step=[],
        steps_per_epoch=1,
        epochs_planned=planned,
        optimizer=describe_optimizer(model),
        schedule="",
        stop_reason=None,
        seconds=None,
    )


def epochs_of(figures: Mapping[str, Sequence[float]]) -> list[Epoch]:
    """The epochs in a history's dictionary of lists.

    A shorter list, as `validation_freq` makes them, does not say which epochs it is of: it is left out.
    """
    count = len(figures["loss"])
    whole = {name: column for name, column in figures.items() if len(column) == count}
    return [epoch_of({name: column[place] for name, column in whole.items()}) for place in range(count)]


def epoch_of(figures: Mapping[str, float], seconds: float | None = None) -> Epoch:
    """One epoch, out of what Keras logs at its end."""
    accuracy = accuracy_name(figures)
    return Epoch(
        loss=finite(figures.get("loss")),
        accuracy=finite(figures.get(accuracy or "")),
        val_loss=finite(figures.get("val_loss")),
        val_accuracy=finite(figures.get(f"val_{accuracy}")),
        seconds=seconds,
    )


def accuracy_name(figures: Mapping[str, Any]) -> str | None:
    """What the model calls its accuracy: the first metric of such a name; `None` where it measures none."""
    return next(
        (name for name in figures if not name.startswith("val_") and (name == "acc" or name.endswith("accuracy"))), None
    )


def describe_optimizer(model: keras.Model, momentums: Sequence[float] | None = None) -> str:
    """The optimizer in words; empty where the model is not compiled.

    Args:
        model: Which has been trained.
        momentums: Its momentum at each step, where that changed.
    """
    if getattr(model, "optimizer", None) is None:
        return ""
    optimizer = inner_optimizers(model.optimizer)[0]
    words = [type(optimizer).__name__]
    if not momentums:
        has_momentum = getattr(optimizer, "momentum", None) is not None
        momentums = [current(optimizer, "momentum")] if has_momentum else [0.0]
    low, high = min(momentums), max(momentums)
    if high:
        kind = "Nesterov momentum" if getattr(optimizer, "nesterov", False) else "momentum"
        words.append(f"{kind} {high:g}" if low == high else f"{kind} {low:g}–{high:g}")
    if optimizer.weight_decay:
        words.append(f"weight decay {float(optimizer.weight_decay):g}")
    return ", ".join(words)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
