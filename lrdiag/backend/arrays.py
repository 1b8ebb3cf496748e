"""Arrays and tensors of other libraries."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from lrdiag.backend.tensorflow_only import loaded_tensorflow


def dense(value: Any) -> Any:
    """Returns a sparse matrix, or a tensor that NumPy or the engine can't read, as a NumPy array.

    Those are sparse tensors, tensors of PyTorch, which may be on a GPU or require gradients, and tensors of TensorFlow
    under another engine. Anything else is returned unchanged.

    Example:
        >>> import tensorflow as tf
        >>> dense(tf.sparse.from_dense([[0, 1], [1, 0]])).tolist()
        [[0, 1], [1, 0]]
    """
    tf = loaded_tensorflow()
    if tf is not None and isinstance(value, tf.SparseTensor):
        return tf.sparse.to_dense(value).numpy()
    if tf is not None and isinstance(value, tf.Tensor) and keras.config.backend() != "tensorflow":
        return value.numpy()
    if hasattr(value, "toarray"):  # a matrix of SciPy
        return value.toarray()
    if hasattr(value, "detach"):  # a tensor of PyTorch
        tensor = value.detach().to_dense()
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy(force=True)
    return np.asarray(value.todense()) if hasattr(value, "todense") else value  # a sparse array of JAX


def is_ragged(value: object) -> bool:
    """Returns whether `value` is a tensor whose rows have different lengths."""
    tf = loaded_tensorflow()
    return (tf is not None and isinstance(value, tf.RaggedTensor)) or getattr(value, "is_nested", False)
