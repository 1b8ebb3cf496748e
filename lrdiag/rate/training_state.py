"""Everything that a few steps of training change, and the way back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state  # no public way to the seed that Keras draws from by itself
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

from lrdiag.errors import ModelError

_MISSING: Any = object()
# what `fit` sets on the model itself, besides its variables
_ATTRIBUTES = ("history", "stop_training", "steps_per_execution", "train_function", "_eval_epoch_iterator")


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
        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002 – users' own code draws from it
        # not made where it is missing: Keras would draw its seed from Python's random state
        self._keras_seed = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
        if self._keras_seed is not None:
            variables.append(self._keras_seed.state)
        unique = {id(variable): variable for variable in variables}
        self._values = [(each, keras.ops.convert_to_numpy(each).copy()) for each in unique.values()]

    def restore(self) -> None:
        """Puts everything back."""
        for variable, value in self._values:
            variable.assign(value)
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, self._keras_seed)


@contextmanager
def attributes_kept(model: keras.Model) -> Iterator[None]:
    """Puts back what `fit` sets on the model before any callback sees it: its history, its wish to stop, and so on."""
    before = {name: getattr(model, name, _MISSING) for name in _ATTRIBUTES}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is not _MISSING:
                setattr(model, name, value)
            elif hasattr(model, name):
                delattr(model, name)
