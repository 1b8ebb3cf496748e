"""A single number inside Keras, on one device and on several."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.backend.engine import engine

MODEL = keras.Sequential()


def on_two_devices(values: tuple[float, float], aggregation: str) -> tuple[Any, list[tf.Variable]]:
    """A substitute for a variable of `MirroredStrategy`, and the variable of each device."""
    held = [tf.Variable(value) for value in values]
    return SimpleNamespace(dtype="float32", aggregation=aggregation, value=SimpleNamespace(values=held)), held


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_a_written_number_is_read_by_keras_and_by_lrdiag(dtype: str) -> None:
    variable = keras.Variable(0, dtype=dtype)
    number = engine().number(variable, MODEL)
    assert number.write(3) == number.read() == int(variable) == 3
    variable.assign(4)
    assert number.read() == 4


def test_a_written_number_is_returned_in_the_dtype_of_the_variable() -> None:
    assert float(engine().number(keras.Variable(0.0), MODEL).write(0.1)) == float(np.float32(0.1)) != 0.1


def test_each_device_has_the_same_rate() -> None:
    variable, held = on_two_devices((0.5, 0.5), "only_first_replica")
    number = engine().number(variable, MODEL)
    number.write(0.25)
    assert [float(each) for each in held] == [0.25, 0.25]
    assert number.read() == 0.25


def test_each_device_has_a_part_of_a_metric() -> None:
    variable, held = on_two_devices((2.0, 3.0), "sum")
    number = engine().number(variable, MODEL)
    assert number.read() == 5.0
    number.write(7.0)
    assert sum(float(each) for each in held) == number.read() == 7.0
