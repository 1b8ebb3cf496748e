"""Infinite batches from any data that `model.fit` accepts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import islice
from typing import Any

import keras
import numpy as np

from lrdiag.backend import pipelines
from lrdiag.backend.arrays import dense
from lrdiag.data.inputs import is_list_of_batches, number_of_batches, unpacked
from lrdiag.data.random_batches import random_batches
from lrdiag.errors import DataError

MOST_PARTS = 3
"""Inputs, targets and weights: all that Keras's own training step can take from a batch."""


def endless_batches(
    x: Any,
    y: Any,
    sample_weight: Any,
    *,
    batch_size: int | None,
    sweep: int,
    sweeps: int,
    batches: int,
    own_step: bool = False,
) -> tuple[Any, int | None]:
    """Returns batches for one of several sweeps. They start again at the end of the data.

    Each sweep gets different batches: it continues after the previous one. If one pass over the data is too short for
    all sweeps, they start at places spread evenly over it.

    Args:
        x: Arrays, a `tf.data.Dataset`, a `keras.utils.PyDataset`, or an iterable of batches. An iterator isn't started
            again at its end.
        y: Arrays, or `None`.
        sample_weight: An array, or `None`.
        batch_size: Number of examples in a batch, if `x` is arrays. Defaults to 32.
        sweep: Number of the sweep, from 0.
        sweeps: Number of sweeps.
        batches: Number of batches in a sweep.
        own_step: Whether the model has its own `train_step`, which may take batches of any number of parts.

    Returns:
        What to pass to `model.fit` as `x`, and as `steps_per_epoch`.

    Raises:
        DataError: If arrays are empty or differ in length, if a batch has too many parts, or if `y`, `sample_weight`
            or `batch_size` is given although `x` gives batches.
    """
    if _is_arrays(x) and not (y is None and _is_list_of_long_batches(x)):
        _require_targets_for(sample_weight, y)
        given = {"x": x, "y": y, "sample_weight": sample_weight}
        parts = {name: _as_arrays(part) for name, part in given.items() if part is not None}
        _require_one_size(parts)
        arrays = tuple(parts.values())
        return random_batches(arrays, batch_size or 32, seed=0, start=sweep * batches), sys.maxsize
    _require_none(y=y, sample_weight=sample_weight, batch_size=batch_size)
    require_parts = _any_parts if own_step else _require_parts
    if pipelines.is_dataset(x):
        require_parts(x.element_spec)
        start = _start(pipelines.length_of(x), sweep, sweeps, batches)
        return pipelines.without_autotuning(x.repeat().skip(start)), sys.maxsize
    if isinstance(x, keras.utils.PyDataset):
        length = number_of_batches(x)
        if length == 0:
            raise no_batch()
        return _Repeated(x, _start(length, sweep, sweeps, batches)), None
    if not isinstance(x, Iterable):
        raise DataError(
            "Argument `x` must be arrays, a tf.data.Dataset, a keras.utils.PyDataset, or an iterable of batches. "
            f"Received: {type(x).__name__}"
        )
    return _repeated(x, 0 if isinstance(x, Iterator) else sweep * batches, require_parts), None


def no_batch() -> DataError:
    """Returns the error for data without a batch."""
    return DataError("A range test needs at least one batch. Received: data without a batch")


def repeatable(validation_data: Any, steps: int | None = None) -> Any:
    """Returns data that `model.evaluate` takes again and again on every engine.

    Args:
        validation_data: Arrays `(x,)`, `(x, y)` or `(x, y, sample_weight)`; a `tf.data.Dataset`, a
            `keras.utils.PyDataset` or an iterable of batches; or `None`. The batches of an iterable are kept in memory.
        steps: Number of batches to evaluate, or `None` for all.

    Returns:
        A tuple of arrays, a dataset, or `None`.

    Raises:
        DataError: If it is an iterator, has no end, or is anything else.
    """
    if validation_data is None:
        return None
    is_indexed = isinstance(validation_data, keras.utils.PyDataset)
    if is_indexed or pipelines.is_dataset(validation_data):
        is_endless = (
            number_of_batches(validation_data) is None if is_indexed else pipelines.is_infinite(validation_data)
        )
        if is_endless and steps is None:
            raise _not_repeatable(validation_data)
        return validation_data
    arrays = unpacked(validation_data)
    if arrays[0] is not validation_data or _is_arrays(validation_data):
        return keras.tree.map_structure(dense, arrays)
    is_finite = isinstance(validation_data, Sized) or (steps is not None and isinstance(validation_data, Iterable))
    if not is_finite or isinstance(validation_data, Iterator):
        raise _not_repeatable(validation_data)
    return _Listed([_dense_batch(batch) for batch in islice(validation_data, steps)])


def _not_repeatable(validation_data: Any) -> DataError:
    return DataError(
        "Argument `validation_data` is evaluated after each update, so it must be finite and repeatable. Pass "
        "arrays, or a dataset without `repeat()`, or `validation_steps`, the number of its batches to evaluate. "
        f"Received: {type(validation_data).__name__}"
    )


def _start(length: int | None, sweep: int, sweeps: int, batches: int) -> int:
    """Returns the batch at which a sweep starts.

    Spread evenly if one pass is too short for all sweeps: one after another, they could all start at the same place.
    """
    if length is not None and sweeps <= length < sweeps * batches:
        return sweep * length // sweeps
    return sweep * batches


def _is_arrays(x: Any) -> bool:
    if is_list_of_batches(x):
        return False
    leaves = keras.tree.flatten(x)
    return bool(leaves) and all(hasattr(leaf, "shape") for leaf in leaves)


def _is_list_of_long_batches(x: Any) -> bool:
    return isinstance(x, list) and all(isinstance(part, list | tuple) and len(part) > MOST_PARTS for part in x)


def _as_arrays(part: Any) -> Any:
    return keras.tree.map_structure(lambda array: np.asarray(dense(array)), keras.tree.lists_to_tuples(part))


def _require_one_size(parts: dict[str, Any]) -> None:
    """Raises unless all arrays have the same number of examples, at least one."""
    sizes = {
        name: {len(array) if array.ndim else 0 for array in keras.tree.flatten(part)} for name, part in parts.items()
    }
    size, *others = set.union(*sizes.values())
    if others or not size:
        received = (f"{name} of {', '.join(map(str, sorted(each)))}" for name, each in sizes.items())
        raise DataError(
            "Inputs, targets and weights must be arrays with the same number of examples, at least one. Pass ragged "
            f"ones as a tf.data.Dataset of batches. Received: {'; '.join(received)} examples"
        )


def _repeated(batches: Iterable[Any], skip: int, require_parts: Callable[[Any], None]) -> Iterator[Any]:
    """Yields batches after the first `skip`, again and again, until an iteration gives none.

    Raises:
        DataError: If there is no batch to yield.
    """
    taken, before = 0, -1
    while taken > before:
        before = taken
        for batch in batches:
            taken += 1
            if taken > skip:
                require_parts(batch)
                yield _dense_batch(batch)
    if taken <= skip:
        raise no_batch()


def _dense_batch(batch: Any) -> tuple[Any, ...]:
    if not isinstance(batch, tuple | list):
        raise DataError(
            "An iterable must give batches `(inputs, targets)` or `(inputs, targets, weights)`. "
            f"Received: a batch of type {type(batch).__name__}"
        )
    return tuple(keras.tree.map_structure(dense, part) for part in batch)


def _require_parts(batch: Any) -> None:
    if isinstance(batch, tuple | list) and len(batch) > MOST_PARTS:
        raise DataError(
            "A batch must be `inputs`, `(inputs, targets)` or `(inputs, targets, weights)`. Put several inputs into a "
            f"tuple or dict of their own. Received: a batch of {len(batch)} elements"
        )


def _any_parts(batch: Any) -> None:
    """Accepts every batch."""


def _require_targets_for(sample_weight: Any, y: Any) -> None:
    if sample_weight is not None and y is None:
        raise DataError("Argument `sample_weight` needs targets: pass them as `y`. Received: y=None")


def _require_none(**arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise DataError(
                f"Argument `{name}` is only for arrays. If `x` gives batches, they must be `(inputs, targets)` or "
                f"`(inputs, targets, weights)`. Received: {name} of type {type(value).__name__}"
            )


class _Listed(keras.utils.PyDataset):  # type: ignore[misc]
    """A `PyDataset` of batches in memory."""

    def __init__(self, batches: list[Any]) -> None:
        super().__init__()
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        return self._batches[index]


class _Repeated(keras.utils.PyDataset):  # type: ignore[misc]
    """A `PyDataset` that starts again at its end."""

    def __init__(self, dataset: keras.utils.PyDataset, skip: int) -> None:
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self._dataset = dataset
        self._skip = skip

    @property
    def num_batches(self) -> None:
        """`None`: it has no end."""
        return None

    def __getitem__(self, index: int) -> Any:
        index += self._skip
        batches = number_of_batches(self._dataset)
        batch = self._dataset[index if batches is None else index % batches]
        _require_parts(batch)  # which Keras requires of a `PyDataset` for each model
        return batch
