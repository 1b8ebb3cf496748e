"""Saves and restores everything that a few steps of training change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from lrdiag.backend.engine import engine
from lrdiag.backend.optimizers import inner_optimizers
from lrdiag.backend.seeds import RandomState
from lrdiag.errors import ModelError
from lrdiag.record.unfinished import RandomNumbers

_MISSING: Any = object()
# Attributes of a model that `fit` changes. `_initial_epoch` is the epoch at which `BackupAndRestore` resumes, and
# `_eval_epoch_iterator` the iterator over the validation data of the `fit` that is running.
_ATTRIBUTES = (
    "history",
    "stop_training",
    "steps_per_execution",
    "train_function",
    "_eval_epoch_iterator",
    "_initial_epoch",
)


class TrainingState:
    """A copy of everything that a training step can change.

    Weights alone are not enough: a step also changes batch-norm statistics, dropout seeds, metrics, the optimizer's
    slots, accumulators, averages, loss scale, step count and learning rate, and the random states of Python, numpy,
    Keras and its engine.

    Args:
        model: A built and compiled model. Its optimizer is built if it isn't yet.

    Raises:
        ModelError: If the model isn't built.
    """

    def __init__(self, model: keras.Model) -> None:
        if not model.built:
            raise ModelError(
                "The model must be built before a range test, so that it can be restored. Begin it with a "
                "`keras.Input`, or call it once on a batch. Received: a model that is not built"
            )
        self._random = RandomState()
        self._restore_mode = engine().keep_mode(model)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self._variables = list({id(each): each for each in _variables_of(model)}.values())
        self._values = [np.array(keras.ops.convert_to_numpy(each)) for each in self._variables]
        # `fit` builds metrics in its first step, and resets them at the beginning of each epoch
        of_metrics = {id(each) for each in model.metrics_variables}
        self._lasting = [place for place, each in enumerate(self._variables) if id(each) not in of_metrics]

    @property
    def values(self) -> list[np.ndarray]:
        """The values of the variables that last longer than an epoch, in an order that depends only on the model."""
        return [self._values[place] for place in self._lasting]

    @property
    def random(self) -> RandomNumbers:
        """The random states."""
        return self._random.numbers

    def replace(self, values: Sequence[np.ndarray], random: RandomNumbers) -> None:
        """Replaces the copy by one of another process, with arrays of the same shapes. `restore` then restores that."""
        for place, value in zip(self._lasting, values, strict=True):
            self._values[place] = value
        self._random = RandomState(random)

    def restore(self) -> None:
        """Restores everything."""
        self._restore_mode()
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(value)
        self._random.restore()


@contextmanager
def fit_undone(model: keras.Model) -> Iterator[None]:
    """Runs a `fit` and restores what it changes outside of its callbacks: attributes of the model and random states.

    Inside, `fit` begins with its first epoch, also if the model resumes an earlier run, and each execution is one step.
    """
    restore_mode = engine().keep_mode(model)
    unbuilt = [each for each in (model._compile_metrics, model._compile_loss) if each is not None and not each.built]
    randomness = RandomState()  # `fit` asks for the first batches before it calls a callback
    before = {name: getattr(model, name, _MISSING) for name in _ATTRIBUTES}
    try:
        model._initial_epoch = None
        if model.steps_per_execution != 1:
            model.steps_per_execution, model.train_function = 1, None
        yield
    finally:
        restore_mode()
        for name, value in before.items():
            if value is not _MISSING:
                setattr(model, name, value)
            elif hasattr(model, name):
                delattr(model, name)
        _forget_build(model, unbuilt)
        randomness.restore()


@contextmanager
def training_continued(model: keras.Model) -> Iterator[None]:
    """Evaluates the model between two steps of `fit`. With PyTorch, `evaluate` ends the mode of training."""
    restore_mode = engine().keep_mode(model)
    try:
        yield
    finally:
        restore_mode()


def _forget_build(model: keras.Model, compiled: list[Any]) -> None:
    """Lets the next `fit` build metrics and losses, as the first does. It takes a batch for that, which it shuffles."""
    for each in compiled:
        each.built = False
        if isinstance(each, keras.losses.Loss):
            each.metrics.clear()  # one for each output, added by each build
    if compiled:
        model.test_function = None  # it was traced with them


def build_on(model: keras.Model, batches: Any) -> None:
    """Builds the model on the first batch, as `fit` would. Does nothing if `batches` is an iterator."""
    if model.built or isinstance(batches, Iterator):
        return
    randomness = RandomState()
    first = next(iter(batches), None)
    randomness.restore()
    if first is not None:
        with model.distribute_strategy.scope():
            model(keras.utils.unpack_x_y_sample_weight(first)[0])


def _variables_of(model: keras.Model) -> Iterator[keras.Variable]:
    """Yields the variables of a model, its metrics, and every optimizer that it or one of its layers holds."""
    yield from model.variables
    yield from model.metrics_variables
    for outer in [model.optimizer, *_held(model, keras.Optimizer)]:
        for optimizer in (outer, *inner_optimizers(outer)):
            yield from optimizer.variables
            # Nadam has a variable that isn't among its `variables` inside a loss-scaling optimizer
            yield from (each for each in vars(optimizer).values() if isinstance(each, keras.Variable))


def _held(model: keras.Model, kind: type) -> list[Any]:
    """Returns the objects of a type that are attributes of a model or its layers, also inside lists and dicts."""
    held, parts, seen = [], [model], set()
    while parts:
        part = parts.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        for each in (member for value in vars(part).values() for member in _members(value)):
            if isinstance(each, kind):
                held.append(each)
            elif isinstance(each, keras.Layer):
                parts.append(each)
    return held


def _members(value: Any) -> Iterable[Any]:
    """Returns the members of a list, tuple or dict, or the value itself."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else [value]
