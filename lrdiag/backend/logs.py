"""The logs that Keras passes to callbacks."""

from __future__ import annotations

from collections.abc import Iterable


def accuracy_name(names: Iterable[str]) -> str | None:
    """Returns the first name of a training accuracy among the logs, or `None`.

    Example:
        >>> accuracy_name({"loss": 0.7, "sparse_categorical_accuracy": 0.5, "val_accuracy": 0.4})
        'sparse_categorical_accuracy'
    """
    return next(
        (name for name in names if not name.startswith("val_") and (name == "acc" or name.endswith("accuracy"))), None
    )
