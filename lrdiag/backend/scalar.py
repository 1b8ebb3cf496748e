"""Access to a single number inside Keras, between two steps of training."""

from __future__ import annotations

from typing import Any

import keras

from lrdiag.backend.engine import engine


def synchronize(model: keras.Model) -> None:
    """Writes the state of the running training step back to the variables of the model. Only JAX keeps it apart."""
    engine().synchronize(model)


class Scalar:
    """Reads and writes a variable that holds one number.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> rate = Scalar(keras.Variable(0.5), model)
        >>> float(rate.write(0.25)), float(rate.read())
        (0.25, 0.25)

    Args:
        variable: A variable of shape `()`.
        model: The model that is trained. With JAX, its variables have no values during `fit` until they are
            synchronized with the state of the training step.
    """

    def __init__(self, variable: keras.Variable, model: keras.Model) -> None:
        self._number = engine().Number(variable, model)

    def read(self) -> Any:
        """Returns the number as a numpy scalar of the variable's dtype."""
        return self._number.read()

    def write(self, value: float) -> Any:
        """Assigns `value`, and returns it rounded to the variable's dtype."""
        return self._number.write(value)
