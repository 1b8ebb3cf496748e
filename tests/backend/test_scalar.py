"""A number inside Keras, on one device and on several."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.backend.scalar import Scalar


def on_two_devices(values: tuple[float, float], aggregation: str) -> tuple[Any, list[tf.Variable]]:
    """A stand-in for a variable under a distribution strategy, and what each device holds of it."""
    held = [tf.Variable(value) for value in values]
    return SimpleNamespace(dtype="float32", aggregation=aggregation, value=SimpleNamespace(values=held)), held


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_what_is_written_is_read_by_keras_and_by_the_cell(dtype: str) -> None:
    variable = keras.Variable(0, dtype=dtype)
    cell = Scalar(variable)
    assert cell.write(3) == cell.read() == int(variable) == 3
    variable.assign(4)
    assert cell.read() == 4


def test_a_number_is_returned_as_the_variable_holds_it() -> None:
    assert float(Scalar(keras.Variable(0.0)).write(0.1)) == float(np.float32(0.1)) != 0.1


def test_every_device_holds_the_same_rate() -> None:
    variable, held = on_two_devices((0.5, 0.5), "only_first_replica")
    cell = Scalar(variable)
    cell.write(0.25)
    assert [float(each) for each in held] == [0.25, 0.25]
    assert cell.read() == 0.25


def test_every_device_holds_a_part_of_a_metric() -> None:
    variable, held = on_two_devices((2.0, 3.0), "sum")
    cell = Scalar(variable)
    assert cell.read() == 5.0
    cell.write(7.0)
    assert sum(float(each) for each in held) == cell.read() == 7.0
