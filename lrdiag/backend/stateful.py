"""What TensorFlow and PyTorch have in common: a training step changes the variables of the model in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras


def synchronize(model: keras.Model) -> None:
    """Does nothing: the variables always have their values."""


def run_from_zero(
    train: Callable[..., Any], sums: Sequence[Any], model: keras.Model, iterator: Any
) -> tuple[tuple[Any], list[Any], list[Any]]:
    """Sets the sums to zero before the step and adds what they were after it, also at the end of the data."""
    before = [each.read() for each in sums]
    for each in sums:
        each.write(0.0)
    try:
        logs = train(iterator)
    finally:
        own = [each.read() for each in sums]
        totals = [was + added for was, added in zip(before, own, strict=True)]
        for each, total in zip(sums, totals, strict=True):
            each.write(total)
    return (logs,), own, totals
