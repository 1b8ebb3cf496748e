"""Unpickles numpy arrays safely: a hostile pickle can't run code.

Allowing `numpy.ndarray` itself is not safe: a pickle may call it, and `ndarray((1,), object, buffer)` turns any bytes
into a pointer. So the few names that a pickled array needs are bound to functions that can only build plain numbers.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import numpy.typing as npt


def load_arrays(file: IO[bytes]) -> Any:
    """Unpickles plain values and arrays of numbers. Strings of Python 2 become `bytes`.

    Example:
        >>> import io
        >>> load_arrays(io.BytesIO(pickle.dumps({"labels": [3, 1], "data": np.zeros(2, np.uint8)})))
        {'labels': [3, 1], 'data': array([0, 0], dtype=uint8)}

    Args:
        file: A binary file, read from its current position.

    Returns:
        The pickled object.

    Raises:
        pickle.UnpicklingError: If the pickle is damaged or truncated, or contains objects other than plain values and
            arrays of numbers.
    """
    try:
        return _ArrayUnpickler(file, encoding="bytes").load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # the bytes of a pickle are instructions: a damaged one can raise anything
        raise pickle.UnpicklingError(str(error) or type(error).__name__) from error


class _ArrayUnpickler(pickle._Unpickler):
    """Unpickles in Python. The one in C allocates as many places for repeated objects as a pickle of a few bytes asks.

    It takes 8 ms more for a file of CIFAR-10.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Returns the replacement of a global that pickled arrays need, by its name in numpy 1 and 2."""
        key = (module.replace("numpy.core.", "numpy._core."), name)
        if key not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only numpy arrays are allowed")
        return _ALLOWED[key]


def _plain_dtype(code: str | bytes, *_: object) -> np.dtype[Any]:
    dtype = np.dtype(code.decode("ascii") if isinstance(code, bytes) else code)
    if dtype.kind not in "biuf":
        raise pickle.UnpicklingError(f"it contains an array of {dtype}, and only numbers are allowed")
    return dtype


def _empty_array(*_: object) -> npt.NDArray[np.uint8]:
    return np.empty(0, np.uint8)  # the pickle sets its shape, type and bytes next


def _array_of_buffer(buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], _: str) -> npt.NDArray[Any]:
    return np.frombuffer(buffer, dtype).reshape(shape)


_ALLOWED: dict[tuple[str, str], Callable[..., Any] | None] = {
    ("numpy", "ndarray"): None,  # an argument of _reconstruct, never called
    ("numpy", "dtype"): _plain_dtype,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.numeric", "_frombuffer"): _array_of_buffer,
}
