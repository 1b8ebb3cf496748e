"""How often `fit` compiles the training step."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import keras

from lrdiag.backend.engine import engine, engine_name


class Compilations:
    """Counts the compilations of the training step of a model from now on, also of a step that replaces it.

    TensorFlow counts traces, JAX compiled versions. Functions inside a step are compiled together with it, so one
    compilation may count several times. What XLA compiles inside a graph of TensorFlow is not counted.

    Args:
        model: A compiled model, during `fit`.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._function: Any = None
        self._before = 0
        self._look_at(model.train_function)
        self._before = -self._newest()

    @property
    def are_counted(self) -> bool:
        """Whether the engine compiles the step and counts each compilation."""
        has_hidden = self._model.jit_compile and engine_name() == "tensorflow"
        return bool(self._compiled) and not has_hidden

    def count(self) -> int:
        """The number of compilations so far."""
        function = self._model.train_function
        if function is not self._function:
            self._before += self._newest()
            self._look_at(function)
        elif len(_attributes(function)) != self._attributes:  # the measured step was added
            self._look_at(function)
        return self._before + self._newest()

    def _look_at(self, function: Any) -> None:
        self._function, self._attributes = function, len(_attributes(function))
        self._compiled = [each for each in _parts(function) if engine().times_compiled(each) is not None]

    def _newest(self) -> int:
        """The number of compilations of the newest step."""
        return sum(engine().times_compiled(each) or 0 for each in self._compiled)


def _attributes(function: Any) -> dict[str, Any]:
    return getattr(function, "__dict__", {})


def _parts(function: Any) -> list[Any]:
    """Returns a function and those that it calls: Keras puts them into closures, lrdiag a measured step beside them."""
    found = [function, *_attributes(function).values()]
    for each in found:  # which grows
        cells = each.__closure__ or () if isinstance(each, FunctionType) else ()
        found += [cell.cell_contents for cell in cells if not any(cell.cell_contents is known for known in found)]
    return found
