"""TensorFlow where another engine is chosen: for what is TensorFlow's own."""

from __future__ import annotations

import sys
from typing import Any

from lrdiag.errors import LrdiagError


def loaded_tensorflow() -> Any:
    """Returns TensorFlow if it is imported already, else `None`: then no object is of TensorFlow."""
    return sys.modules.get("tensorflow")


def import_tensorflow(purpose: str, error: type[LrdiagError]) -> Any:
    """Imports TensorFlow for something that only TensorFlow can do.

    Unless it is imported already, its GPUs are hidden from it: it would occupy their memory, which the engine needs.

    Example:
        >>> from lrdiag.errors import DataError
        >>> import_tensorflow("A folder of TensorFlow Datasets", DataError).__name__
        'tensorflow'

    Args:
        purpose: What needs TensorFlow, as the beginning of a sentence.
        error: The class of the error.

    Raises:
        LrdiagError: If it can't be imported.
    """
    is_new = loaded_tensorflow() is None
    try:
        import tensorflow as tf
    except ImportError as reason:
        raise error(f"{purpose} needs TensorFlow. Run `pip install tensorflow`. Received: {reason}") from reason
    if is_new:
        tf.config.set_visible_devices([], "GPU")
    return tf
