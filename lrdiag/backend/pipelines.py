"""`tf.data` pipelines: those of lrdiag, and questions about those of users."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import tree

from lrdiag.backend.tensorflow_only import loaded_tensorflow

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
    tf = loaded_tensorflow()
    return tf is not None and isinstance(x, tf.data.Dataset)


def length_of(dataset: tf.data.Dataset) -> int | None:
    """Returns the number of elements of a dataset, or `None` if it is unknown or infinite."""
    length = int(dataset.cardinality())
    return None if length < 0 else length


def is_infinite(x: Any) -> bool:
    """Returns whether `x` is a `tf.data` dataset without end, also one of a distribution strategy."""
    tf = loaded_tensorflow()
    return tf is not None and hasattr(x, "cardinality") and int(x.cardinality()) == tf.data.INFINITE_CARDINALITY


def batches_in_order(
    images: np.ndarray, labels: np.ndarray, batch_size: int, scale: Callable[[np.ndarray], np.ndarray] | None = None
) -> tf.data.Dataset:
    """Returns batches of images, as `float32`, with their labels, in the order of the arrays.

    Args:
        images: The images.
        labels: Their labels.
        batch_size: Number of images in a batch. The last one may be smaller.
        scale: Takes the images of a batch; returns images of another size.
    """
    import tensorflow as tf

    def scaled(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _changed(scale, [images], images, of_any_size=True), labels

    batches = tf.data.Dataset.range(len(images)).batch(batch_size).map(_gather((images, labels)))
    return steady((batches.map(scaled) if scale else batches).map(_in_floats))


def random_batches(
    arrays: Any,
    order: Callable[[int], np.ndarray],
    batch_size: int,
    *,
    start: int,
    prepare: Callable[[int, int, np.ndarray, np.ndarray], np.ndarray] | None,
    of_any_size: bool,
    in_floats: bool,
) -> tf.data.Dataset:
    """Returns batches of arrays without end, as `lrdiag.data.random_batches` describes.

    Args:
        arrays: A nest of arrays.
        order: Takes the number of a pass; returns the indices of the examples in their order.
        batch_size: Number of examples in a batch. The last batch of a pass may be smaller.
        start: Number of batches to leave out.
        prepare: Takes the number of a batch, that of its pass, the indices of its examples, and its first array;
            returns the array to replace it.
        of_any_size: Whether its height and width are others then.
        in_floats: Whether to convert the first of two arrays to `float32` then.
    """
    import tensorflow as tf

    per_pass = -(-len(order(0)) // batch_size)

    def in_order(number: tf.Tensor) -> tf.data.Dataset:
        indices = tf.ensure_shape(tf.numpy_function(order, [number], tf.int64), [None])
        return tf.data.Dataset.from_tensor_slices(indices).batch(batch_size)

    def prepared(number: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, ...]:
        images, *others = gather(indices)
        return _changed(prepare, [number, number // per_pass, indices, images], images, of_any_size), *others

    first, skipped = divmod(start, per_pass)
    gather = _gather(arrays)
    indices = tf.data.Dataset.counter(first).flat_map(in_order).skip(skipped)
    endless = indices.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    batches = endless.enumerate(start).map(prepared) if prepare else endless.map(gather)
    return steady(batches.map(_in_floats) if in_floats else batches)


def _changed(
    change: Callable[..., np.ndarray] | None, arguments: list[tf.Tensor], images: tf.Tensor, of_any_size: bool
) -> tf.Tensor:
    """Calls a function of NumPy that changes images."""
    import tensorflow as tf

    shape = [None, None, None, images.shape[-1]] if of_any_size else images.shape
    return tf.ensure_shape(tf.numpy_function(change, arguments, images.dtype), shape)


def _gather(arrays: Any) -> Callable[[tf.Tensor], Any]:
    """Returns the function from indices to examples. It captures the arrays outside of the graph."""
    import tensorflow as tf

    with tf.device("CPU"):
        tensors = tree.map_structure(tf.constant, arrays)
    return lambda indices: tree.map_structure(lambda tensor: tf.gather(tensor, indices), tensors)


def _in_floats(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    import tensorflow as tf

    return tf.cast(images, tf.float32), labels
