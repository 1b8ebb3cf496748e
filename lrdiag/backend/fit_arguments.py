"""The arguments of the running `fit`.

Keras tells a callback neither the training data nor the batch size, so they are looked up on the stack.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class FitArguments:
    """Arguments of `model.fit` that describe the training data, after `validation_split` was applied.

    Attributes:
        x: See `model.fit`.
        y: See `model.fit`.
        batch_size: See `model.fit`.
        shuffle: See `model.fit`.
        weighted: Whether `class_weight` or `sample_weight` was given.
        steps_per_epoch: See `model.fit`.
        splits: Whether a part of the images was split off for validation (`validation_split`).
    """

    x: Any
    y: Any = None
    batch_size: int | None = None
    shuffle: bool = True
    weighted: bool = False
    steps_per_epoch: int | None = None
    splits: bool = False


def fit_arguments(model: keras.Model) -> FitArguments | None:
    """Returns the arguments of the `fit` that runs now, or `None` if a loop of the user's own trains the model."""
    frame = sys._getframe(1)
    while frame is not None:
        given = frame.f_locals
        if frame.f_code.co_name == "fit" and given.get("self") is model and {"x", "y", "batch_size"} <= given.keys():
            return FitArguments(
                x=given["x"],
                y=given["y"],
                batch_size=given["batch_size"],
                shuffle=bool(given.get("shuffle", True)),
                weighted=given.get("class_weight") is not None or given.get("sample_weight") is not None,
                steps_per_epoch=given.get("steps_per_epoch"),
                splits=bool(given.get("validation_split")),
            )
        frame = frame.f_back  # type: ignore[assignment]
    return None
