"""Whether a compiled loss takes logits or probabilities."""

from __future__ import annotations

from typing import Any

import keras

_CROSS_ENTROPIES = (
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
_FUNCTIONS = (  # they take probabilities by default
    keras.losses.binary_crossentropy,
    keras.losses.categorical_crossentropy,
    keras.losses.sparse_categorical_crossentropy,
)


def says_from_logits(model: keras.Model, output: str | int | None = None) -> bool | None:
    """Whether the model was compiled with a loss that takes logits.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> says_from_logits(model)
        >>> model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> says_from_logits(model)
        True
        >>> model.compile(loss="sparse_categorical_crossentropy")  # a loss given by name takes probabilities
        >>> says_from_logits(model)
        False

    Args:
        model: A model, compiled or not.
        output: The output if the model has several: its name or its index.

    Returns:
        `None` if the model is not compiled, or its loss is not a cross-entropy.
    """
    loss = _of_output(getattr(model, "loss", None), output, getattr(model, "output_names", None) or [])
    try:
        loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    except ValueError:
        return None
    if isinstance(loss, _CROSS_ENTROPIES):
        return bool(loss.get_config()["from_logits"])
    return False if loss in _FUNCTIONS else None


def _of_output(loss: Any, output: str | int | None, names: list[str]) -> Any:
    """The loss of one output, from a single loss, a list or a dictionary."""
    place = names.index(output) if isinstance(output, str) and output in names else output
    if isinstance(loss, dict):
        name = names[place] if isinstance(place, int) and place < len(names) else output
        return loss.get(name, next(iter(loss.values())) if len(loss) == 1 else None)
    if isinstance(loss, list | tuple):
        place = place if isinstance(place, int) else 0
        return loss[place] if place < len(loss) else None
    return loss
