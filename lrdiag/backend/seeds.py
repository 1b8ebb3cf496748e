"""Random states of Python, numpy, Keras and its engine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED

from lrdiag.backend.engine import engine


def set_seeds(seed: int) -> None:
    """Sets the random seeds of Python, numpy, Keras and its engine.

    `keras.utils.set_random_seed` does the same, but imports TensorFlow wherever it is installed.

    Args:
        seed: Random seed.
    """
    global_state.set_global_attribute(GLOBAL_RANDOM_SEED, seed)
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)  # Keras makes it again from the seed
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    engine().set_seed(seed)


class RandomState:
    """A copy of the random states of Python, numpy, Keras and its engine.

    Keras draws the numbers of operations without a seed from a global seed generator, which no public function returns.
    If it doesn't exist yet, it isn't created here: Keras would take its seed from Python's random state.
    """

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002 – the code of users draws from it
        self._restore_engine = engine().keep_random_state()
        self._keras = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
        self._keras_seed = None if self._keras is None else keras.ops.convert_to_numpy(self._keras.state).copy()

    def restore(self) -> None:
        """Restores the states."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        self._restore_engine()
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, self._keras)
        if self._keras is not None:
            self._keras.state.assign(self._keras_seed)


@contextmanager
def randomness_kept() -> Iterator[None]:
    """Restores the random states after the block."""
    state = RandomState()
    try:
        yield
    finally:
        state.restore()
