"""The names of the classes: those that a user gives, and those that data carries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lrdiag.errors import DataError
from lrdiag.formats import encodable

ClassNames = Iterable[str] | Mapping[str, int] | Mapping[int, str]
"""Name of each class: in order, a mapping from name to index or from index to name, or an object with `names`."""
_WHERE = ("class_names", "class_indices", "class_to_idx")  # in data of Keras, of Keras's generators, of torchvision


def names_in_order(class_names: Any) -> tuple[str, ...] | None:
    """Returns the names of the classes in the order of their indices. A name that occurs twice gets its index.

    Example:
        >>> names_in_order({"dog": 1, "cat": 0}), names_in_order({"0": "cat", "1": "dog"})
        (('cat', 'dog'), ('cat', 'dog'))

    Args:
        class_names: `ClassNames`; the `ClassLabel` of a Hugging Face or TensorFlow dataset, or an object whose
            `features` contain a single one; or `None`.

    Raises:
        DataError: If their order isn't known: a set, or a mapping with gaps.
    """
    if class_names is None:
        return None
    label = _class_label(class_names)
    class_names = class_names if label is None else label.names
    if isinstance(class_names, str | bytes) or not isinstance(class_names, Iterable):
        raise _unusable(f"{type(class_names).__name__} {class_names!r}")
    if isinstance(class_names, set | frozenset):
        raise _unusable("a set, which has no order")
    if isinstance(class_names, Mapping):
        class_names = _of_mapping(class_names)
    elif hasattr(class_names, "shape"):
        class_names = np.asarray(class_names).tolist()
    names = [
        encodable(each.decode("utf-8", "surrogateescape") if isinstance(each, bytes) else str(each))
        for each in class_names
    ]
    often = Counter(names)
    return tuple(name if often[name] == 1 else f"{name} ({index})" for index, name in enumerate(names))


def names_carried_by(data: Any) -> tuple[str, ...] | None:
    """Returns the names of the classes that data carries, or `None`.

    Args:
        data: Such as what `keras.utils.image_dataset_from_directory` or `flow_from_directory` returns, or a loader
            over a Hugging Face dataset.
    """
    for source in (data, getattr(data, "dataset", None)):
        carried = next((getattr(source, name) for name in _WHERE if hasattr(source, name)), _class_label(source))
        try:
            names = names_in_order(carried)
        except DataError:  # an attribute of that name with another meaning
            continue
        if names:
            return names
    return None


def chosen_names(
    given: Sequence[str] | None, carried: Sequence[str] | None, classes: int
) -> tuple[list[str], tuple[str, ...]]:
    """Returns the names of the classes, or their numbers if there are none, and notes about them.

    Args:
        given: The names that the user gave.
        carried: The names that the data carries.
        classes: Number of classes that the model scores.

    Raises:
        DataError: If there isn't one given name for each class.
    """
    numbers = [str(index) for index in range(classes)]
    if given is not None:
        if len(given) != classes:
            raise DataError(
                f"`class_names` must name each of the {classes} classes that the model scores, in its order. "
                f"Received: {len(given)} names"
            )
        return list(given), ()
    if carried is None or len(carried) == classes:
        return list(carried or numbers), ()
    return numbers, (
        f"The data names {len(carried)} classes, but the model scores {classes}, so classes are shown by number.",
    )


def _of_mapping(names: Mapping[Any, Any]) -> list[Any]:
    received = f"a mapping from {_some(names)} to {_some(names.values())}"
    by_index = names if all(isinstance(name, str) for name in names.values()) else {v: k for k, v in names.items()}
    try:
        by_index = {int(index): name for index, name in by_index.items()}
    except (TypeError, ValueError) as error:
        raise _unusable(received) from error
    is_ambiguous = set(names) == set(names.values()) and any(key != value for key, value in names.items())
    if is_ambiguous or len(by_index) < len(names) or set(by_index) != set(range(len(names))):
        raise _unusable(received)
    return [by_index[index] for index in range(len(by_index))]


def _class_label(source: Any) -> Any:
    """Returns the `ClassLabel` that `source` is or whose only one it contains, or `None`."""
    if hasattr(source, "names") and hasattr(source, "num_classes"):
        return source
    features = getattr(getattr(source, "info", source), "features", source)
    if not callable(getattr(features, "items", None)):  # a tensor of PyTorch has `values`, but no `items`
        return None
    found = [each for _, each in features.items() if hasattr(each, "names") and hasattr(each, "num_classes")]
    return found[0] if len(found) == 1 else None


def _some(values: Iterable[Any]) -> str:
    first = [repr(value) for value in values]
    return ", ".join(first[:5]) + (", …" if len(first) > 5 else "")


def _unusable(received: str) -> DataError:
    return DataError(
        "`class_names` must name each class in the order of the model's outputs: a list, or a mapping between names "
        f"and the indices 0, 1, 2, … Received: {received}"
    )
