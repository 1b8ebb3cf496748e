"""How a model is compiled: its loss, its metrics, its optimizer, and the learning rates that it plans."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.engine import engine
from lrdiag.backend.optimizers import held_rate, inner_optimizers, schedule_of
from lrdiag.explain.loss import compiled_loss, is_binary, is_hinge, name_of, takes_logits
from lrdiag.record.observed import Compiled, LossKind, Optimizer, Rates

_STEPS = 200  # of a schedule that are computed
_SPENT = 1e-3  # of the highest rate
_SAME_LOSS = 1e-4  # relative difference of two losses that the images do not tell apart
_WITHOUT_RATE = (  # callbacks of Keras that never set the learning rate
    "History", "ProgbarLogger", "EarlyStopping", "ModelCheckpoint", "CSVLogger", "TensorBoard", "TerminateOnNaN",
    "BackupAndRestore", "ReduceLROnPlateau", "RemoteMonitor", "SwapEMAWeights",
)  # fmt: skip
_DISTANCES = (
    "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error",
    "huber", "log_cosh", "poisson", "cosine_similarity",
)  # fmt: skip


def compiled(model: keras.Model, output: str | int | None = None) -> Compiled | None:
    """Returns how a model is compiled; `None` if it isn't, or computes its loss itself."""
    loss = compiled_loss(model, output)
    optimizer = getattr(model, "optimizer", None)
    if loss is None or optimizer is None:
        return None
    return Compiled(
        loss=name_of(loss),
        kind=_kind(loss),
        takes_logits=takes_logits(loss),
        label_smoothing=float(getattr(loss, "label_smoothing", 0.0) or 0.0),
        metrics=_metrics(model),
        optimizer=_optimizer(optimizer),
        ignore_class=getattr(loss, "ignore_class", None),
    )


def _kind(loss: Any) -> LossKind:
    function = getattr(loss, "fn", loss)
    name = getattr(function, "__name__", "")
    if not getattr(function, "__module__", "").startswith("keras."):
        return "other"
    if name.startswith("sparse_categorical"):
        return "sparse"
    if is_hinge(loss) or name.endswith("hinge"):
        return "hinge"
    for kind in ("categorical", "binary"):
        if name.startswith(f"{kind}_"):
            return "categorical" if kind == "categorical" else "binary"
    return "distance" if name in _DISTANCES else "other"


def _metrics(model: keras.Model) -> tuple[str, ...]:
    given = tree.flatten(getattr(getattr(model, "_compile_metrics", None), "_user_metrics", None))
    return tuple(
        each if isinstance(each, str) else getattr(each, "__name__", type(each).__name__) for each in given if each
    )


def _optimizer(optimizer: keras.Optimizer) -> Optimizer:
    inner = inner_optimizers(optimizer)[0]
    momentum = getattr(inner, "momentum", None)
    return Optimizer(
        type(inner).__name__,
        schedule_of(inner) is not None,
        clipnorm=_number(inner.clipnorm),
        clipvalue=_number(inner.clipvalue),
        global_clipnorm=_number(inner.global_clipnorm),
        weight_decay=float(inner.weight_decay or 0.0),
        momentum=_number(momentum),
        averages=bool(inner.use_ema),
    )


def _number(value: Any) -> float | None:
    """Returns a number or the value of a variable, which a distribution strategy may have mirrored."""
    return None if value is None else float(keras.ops.convert_to_numpy(value))


def planned_rates(
    optimizer: keras.Optimizer, updates: int | None, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> Rates:
    """Returns the learning rates that an optimizer will use.

    Args:
        optimizer: A compiled optimizer.
        updates: Number of updates of the whole run, if it is known.
        callbacks: The other callbacks of `fit`.
    """
    inner = inner_optimizers(optimizer)[0]
    may_change = any(
        type(each).__name__ not in _WITHOUT_RATE or not type(each).__module__.startswith("keras.") for each in callbacks
    )
    schedule = schedule_of(inner)
    if schedule is None or not updates:
        held = held_rate(inner)
        value = inner.learning_rate if not callable(held) or schedule else held()
        rate = float(keras.ops.convert_to_numpy(value))  # a distribution strategy may have mirrored it
        return Rates(rate, rate, rate, rate, updates, may_change=may_change)
    steps = np.unique(np.linspace(0, updates - 1, _STEPS).astype(int))
    rates = np.array([float(keras.ops.convert_to_numpy(schedule(int(step)))) for step in steps])
    alive = np.flatnonzero(np.abs(rates) >= _SPENT * np.abs(rates).max())
    return Rates(
        first=float(rates[0]),
        lowest=float(rates.min()),
        highest=float(rates.max()),
        mean=float(rates.mean()),
        updates=updates,
        spent=float((steps[alive[-1]] + 1) / updates) if len(alive) else 0.0,
        may_change=may_change,
    )


def recovers(
    model: keras.Model, loss: Any, scores_of: Callable[[Any], Any], inputs: Any, labels: Any, scores: np.ndarray
) -> bool | None:
    """Returns whether Keras computes the right loss of probabilities although the loss expects logits.

    The loss is computed in a graph, as in training, because Keras looks for the softmax or sigmoid there.

    Args:
        model: A built model that ends in a softmax or sigmoid.
        loss: A cross-entropy with `from_logits=True`.
        scores_of: Returns the scores that the model returns for inputs, as a tensor.
        inputs: A batch of inputs.
        labels: Their labels.
        scores: Their scores, of shape `(n, units)`.

    Returns:
        `None` if the right and the wrong loss of these images are the same.
    """
    inside = np.clip(scores, 1e-7, 1 - 1e-7)
    logits = np.log(inside) - (np.log1p(-inside) if is_binary(loss) else 0)
    wrong, right = (
        float(ops.convert_to_numpy(loss(labels, ops.convert_to_tensor(each.reshape(scores.shape)))))
        for each in (scores, logits)
    )
    if abs(right - wrong) <= _SAME_LOSS * max(1.0, abs(right)):
        return None
    measure = engine().compiled_whole(lambda images, truth: loss(truth, scores_of(images))[None], model)
    with warnings.catch_warnings():  # Keras warns of the contradiction
        warnings.simplefilter("ignore")
        measured = float(measure(inputs, labels)[0])
    return abs(measured - right) < abs(measured - wrong)
