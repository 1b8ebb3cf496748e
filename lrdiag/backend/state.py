"""Everything that a few steps of training change, and the way back."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state  # no public way to the seed that Keras draws from by itself
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

from lrdiag.backend.optimizers import inner_optimizers
from lrdiag.errors import ModelError

_MISSING: Any = object()
# what `fit` sets on the model itself, besides its variables
_ATTRIBUTES = (
    "history",
    "stop_training",
    "steps_per_execution",
    "train_function",
    "_eval_epoch_iterator",
    "_initial_epoch",
)


class RandomState:
    """The random states of Python, numpy and Keras, to be put back later."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002 – users' own code draws from it
        # not made where it is missing: Keras would draw its seed from Python's random state
        self._keras = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
        self._keras_seed = None if self._keras is None else _copy(self._keras.state)

    def restore(self) -> None:
        """Puts them back."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, self._keras)
        if self._keras is not None:
            self._keras.state.assign(self._keras_seed)


class TrainingState:
    """A copy of everything that a training step can change, to be put back later.

    Weights alone are not enough: batch-norm statistics, dropout seeds, metrics, the optimizer's slots, accumulators,
    averages, loss scale, step count and rate, and the random states of Python, numpy and Keras are all moved by a few
    steps of training.

    Args:
        model: A built and compiled model. An optimizer that is not built yet is built.

    Raises:
        ModelError: If the model has no weights yet.
    """

    def __init__(self, model: keras.Model) -> None:
        if not model.built:
            raise ModelError(
                "The model must have its weights before a range test, to be given back afterwards. Begin it with a "
                "`keras.Input`, or call it once on a batch. Received: a model that is not built"
            )
        self._random = RandomState()
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        variables = {id(each): each for each in _variables_of(model)}
        self._values = [(each, _copy(each)) for each in variables.values()]

    def restore(self) -> None:
        """Puts everything back."""
        for variable, value in self._values:
            variable.assign(value)
        self._random.restore()


@contextmanager
def fit_undone(model: keras.Model) -> Iterator[None]:
    """Puts back what `fit` changes where no callback sees it: the model's history, its wish to stop, random states.

    Within it, `fit` begins with its first epoch, also in the middle or after the end of a training that was resumed.
    """
    randomness = RandomState()  # `fit` asks the data for its first batches before it begins
    before = {name: getattr(model, name, _MISSING) for name in _ATTRIBUTES}
    try:
        model._initial_epoch = None
        yield
    finally:
        for name, value in before.items():
            if value is not _MISSING:
                setattr(model, name, value)
            elif hasattr(model, name):
                delattr(model, name)
        randomness.restore()


def build_on(model: keras.Model, batches: Any) -> None:
    """Gives a model that has never been called its weights, as `fit` would: by the first batch of what begins anew."""
    if model.built or isinstance(batches, Iterator):
        return
    randomness = RandomState()
    first = next(iter(batches), None)
    randomness.restore()
    if first is not None:
        with model.distribute_strategy.scope():
            model(keras.utils.unpack_x_y_sample_weight(first)[0])


def _variables_of(model: keras.Model) -> Iterator[keras.Variable]:
    """Those of the model and its metrics, and of every optimizer that it or a part of it holds."""
    yield from model.variables
    yield from model.metrics_variables
    held = [each for part in model._flatten_layers() for value in vars(part).values() for each in _members(value)]
    for outer in [model.optimizer, *(each for each in held if isinstance(each, keras.Optimizer))]:
        for optimizer in (outer, *inner_optimizers(outer)):
            yield from optimizer.variables
            # Nadam keeps one that it does not tell of inside a loss-scaling optimizer
            yield from (each for each in vars(optimizer).values() if isinstance(each, keras.Variable))


def _members(value: Any) -> Iterable[Any]:
    """What is in a list or a dict, or the value itself."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else [value]


def _copy(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))
