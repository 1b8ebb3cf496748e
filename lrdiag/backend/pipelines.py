"""`tf.data` pipelines of lrdiag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

PREFETCHED_BATCHES = 2


def steady(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prefetches a fixed number of batches and turns autotuning off.

    Example:
        >>> import tensorflow as tf
        >>> steady(tf.data.Dataset.range(4).batch(2)).options().autotune.enabled
        False

    Args:
        dataset: A dataset of batches.

    Returns:
        A dataset of the same batches in the same order.
    """
    return without_autotuning(dataset.prefetch(PREFETCHED_BATCHES))


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Turns autotuning off for a whole pipeline, unless its options already say whether to use it.

    An iterator over a pipeline with autotuning can't be destroyed before its tuning thread wakes up. That thread sleeps
    10, 20, 40, ... ms, so each epoch may end with a pause as long as the epoch itself (TensorFlow 2.21). Without
    autotuning, `tf.data.AUTOTUNE` stands for as many parallel calls as there are processors, up to 16, and for a
    prefetch buffer that grows while it is too small.

    Args:
        dataset: Any dataset. Nothing is read from it ahead of time.

    Returns:
        A dataset of the same elements in the same order.
    """
    import tensorflow as tf

    if dataset.options().autotune.enabled is not None:
        return dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def is_dataset(x: object) -> bool:
    """Returns whether `x` is a `tf.data.Dataset`."""
    import tensorflow as tf

    return isinstance(x, tf.data.Dataset)


def length_of(dataset: tf.data.Dataset) -> int | None:
    """Returns the number of elements of a dataset, or `None` if it is unknown or infinite."""
    length = int(dataset.cardinality())
    return None if length < 0 else length


def is_infinite(x: object) -> bool:
    """Returns whether `x` is a `tf.data` dataset without end, also one of a distribution strategy."""
    import tensorflow as tf

    return hasattr(x, "cardinality") and int(x.cardinality()) == tf.data.INFINITE_CARDINALITY


def shuffled_batches(arrays: Any, size: int, batch_size: int) -> tf.data.Dataset:
    """Returns random batches of arrays: each example once in each pass, and each pass in a new order.

    The order is drawn from a fixed seed. Keras's own shuffling draws from TensorFlow's global random state.

    Args:
        arrays: A nest of arrays.
        size: Number of examples in each array.
        batch_size: Number of examples in a batch. The last batch of a pass may be smaller.

    Returns:
        A dataset of one pass.
    """
    import keras
    import tensorflow as tf

    with tf.device("CPU"):  # the tensors are captured by the function below instead of written into its graph
        tensors = keras.tree.map_structure(tf.constant, arrays)
    indices = tf.data.Dataset.range(size).shuffle(size, seed=0, reshuffle_each_iteration=True).batch(batch_size)
    return indices.map(lambda chosen: keras.tree.map_structure(lambda tensor: tf.gather(tensor, chosen), tensors))
