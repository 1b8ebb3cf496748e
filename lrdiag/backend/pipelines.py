"""Options that every `tf.data` pipeline of lrdiag has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

PREFETCHED_BATCHES = 2


def steady(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prefetches a fixed number of batches and turns autotuning off.

    An iterator over a pipeline with autotuning can't be destroyed before its tuning thread wakes up. That thread sleeps
    10, 20, 40, ... ms, so each epoch may end with a pause as long as the epoch itself (TensorFlow 2.21).

    Example:
        >>> import tensorflow as tf
        >>> steady(tf.data.Dataset.range(4).batch(2)).options().autotune.enabled
        False

    Args:
        dataset: A dataset of batches.

    Returns:
        A dataset of the same batches in the same order.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(PREFETCHED_BATCHES).with_options(options)
