"""Running out of memory on the engine in KERAS_BACKEND. A process of `test_memory.py` runs it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from lrdiag.backend.memory import is_shortage, shortage_explained
from lrdiag.errors import LrdiagError, MemoryShortage


class Huge(keras.layers.Layer):  # type: ignore[misc]
    """Keras adds to the errors of layers, and raises new ones."""

    def call(self, inputs: object) -> object:
        return inputs + ops.sum(ops.ones((2**21, 2**21)))


def main() -> None:
    for act in (lambda: ops.ones((2**22, 2**22)), lambda: Huge()(np.ones((2, 2), "float32"))):
        with pytest.raises(Exception) as raised:  # noqa: PT011 – of any type
            act()
        assert not isinstance(raised.value, LrdiagError)
        assert is_shortage(raised.value), raised.value
        with pytest.raises(MemoryShortage, match="--batch-size"), shortage_explained():
            act()
    with pytest.raises(ValueError, match="another"), shortage_explained():
        raise ValueError("another")


main()
