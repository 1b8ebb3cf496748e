"""Random states of Python, numpy and Keras. The tests fail if Keras moves its private ones."""

from __future__ import annotations

import random
from pathlib import Path

import keras
import numpy as np

from lrdiag.backend.seeds import RandomState
from lrdiag.record import unfinished
from lrdiag.record.unfinished import RandomNumbers


def draw() -> tuple[float, ...]:
    """Draws from Python, numpy and Keras."""
    return random.random(), float(np.random.random()), float(keras.random.uniform(()))  # noqa: NPY002


def test_restoring_repeats_the_same_draws() -> None:
    draw()  # creates Keras's global seed generator
    state = RandomState()
    expected = draw()
    assert draw() != expected
    state.restore()
    assert draw() == expected


def test_restoring_repeats_the_first_seed_of_keras() -> None:
    """`keras.utils.set_random_seed` removes the global seed generator."""
    keras.utils.set_random_seed(0)
    state = RandomState()
    expected = draw()
    state.restore()
    assert draw() == expected


def test_another_process_repeats_the_same_draws(tmp_path: Path) -> None:
    """It has no global seed generator yet."""
    draw()
    unfinished.write(tmp_path / "a.npz", RandomState().numbers)
    expected = draw()
    keras.utils.set_random_seed(5)
    RandomState(unfinished.read(tmp_path / "a.npz", RandomNumbers)).restore()
    assert draw() == expected
