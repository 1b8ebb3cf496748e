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
from lrdiag.record.unfinished import RandomNumbers


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

    Attributes:
        numbers: The states.

    Args:
        numbers: The states of another process. Defaults to the current ones.
    """

    def __init__(self, numbers: RandomNumbers | None = None) -> None:
        self._keras = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
        self.numbers = numbers or self._current()

    def _current(self) -> RandomNumbers:
        numpy = np.random.get_state(legacy=False)  # noqa: NPY002 – the code of users draws from it
        of_keras = None if self._keras is None else keras.ops.convert_to_numpy(self._keras.state).tolist()
        version, words, gauss = random.getstate()
        return RandomNumbers((version, words, gauss), numpy, of_keras, engine().random_state())

    def restore(self) -> None:
        """Restores the states."""
        random.setstate(self.numbers.python)
        np.random.set_state(self.numbers.numpy)  # noqa: NPY002
        engine().set_random_state(self.numbers.engine)
        if self.numbers.keras is None:
            global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)
            return
        generator = self._keras or keras.random.SeedGenerator(0)
        generator.state.assign(self.numbers.keras)
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, generator)


@contextmanager
def randomness_kept() -> Iterator[None]:
    """Restores the random states after the block."""
    state = RandomState()
    try:
        yield
    finally:
        state.restore()
