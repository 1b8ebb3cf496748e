"""TensorFlow where another engine is chosen: for what is TensorFlow's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lrdiag.errors import LrdiagError


def loaded_tensorflow() -> Any:
    """Returns TensorFlow if it is imported already, else `None`: then no object is of TensorFlow."""
    return sys.modules.get("tensorflow")


@contextmanager
def tensorflow_left_out() -> Iterator[None]:
    """Keeps Keras from importing TensorFlow inside the block.

    To save a model, Keras imports TensorFlow wherever it is installed and asks whether an object is of TensorFlow. That
    takes seconds.
    """
    if loaded_tensorflow():
        yield
        return
    from keras.src.utils.module_utils import tensorflow as keras_asks

    before, keras_asks._available = keras_asks._available, False  # private: the public property imports it
    try:
        yield
    finally:
        keras_asks._available = before


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


@contextmanager
def without_kernel_gradients() -> Iterator[None]:
    """Leaves out the gradients of convolution kernels inside the block, for code that needs those of images only.

    Eagerly, TensorFlow computes them nevertheless, and for some shapes oneDNN then ends the process with "double free
    or corruption" (TensorFlow 2.21). There is no public way to leave them out.
    """
    from tensorflow.python.ops import gen_nn_ops

    original = gen_nn_ops.conv2d_backprop_filter
    gen_nn_ops.conv2d_backprop_filter = lambda *arguments, **named: None
    try:
        yield
    finally:
        gen_nn_ops.conv2d_backprop_filter = original
