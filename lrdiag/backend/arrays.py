"""Arrays of other libraries: tensors of an engine, and of PyTorch where it is loaded by the user."""

from __future__ import annotations

from typing import Any


def dense(value: Any) -> Any:
    """Returns a sparse matrix, a sparse tensor or a PyTorch tensor as a NumPy array, and anything else unchanged.

    Example:
        >>> import tensorflow as tf
        >>> dense(tf.sparse.from_dense([[0, 1], [1, 0]])).tolist()
        [[0, 1], [1, 0]]
    """
    import keras
    import tensorflow as tf

    if isinstance(value, tf.SparseTensor):
        return keras.ops.convert_to_numpy(value)
    if hasattr(value, "toarray"):  # a matrix of SciPy
        return value.toarray()
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def is_ragged(value: object) -> bool:
    """Returns whether `value` is a tensor whose rows have different lengths."""
    import tensorflow as tf

    return isinstance(value, tf.RaggedTensor)
