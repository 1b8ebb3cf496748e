"""Whether the weights of a layer are as its initializers draw them, so that the layer was never trained."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers as kl

_LARGEST = 2_000_000  # weights of a kernel that is drawn again
_FEWEST = 100  # fewer weights don't show a distribution
_SAMPLE = 20_000
_SIGNIFICANT = 1.63  # of Kolmogorov and Smirnov's two-sample test, at 1 %
_CONSTANT = (keras.initializers.Zeros, keras.initializers.Ones, keras.initializers.Constant)
_NORMALIZING = (kl.BatchNormalization, kl.LayerNormalization, kl.GroupNormalization)


def is_fresh(layer: keras.Operation) -> bool | None:
    """Returns whether a layer was never trained; `None` without weights, or if that can't be told.

    A kernel is drawn again with the layer's initializer, and the two distributions are compared. Its bias, and the
    weights and moving statistics of a normalization, must be those of the start exactly. A layer that was trained for a
    few steps may still look fresh.

    Example:
        >>> dense = keras.layers.Dense(64)
        >>> dense.build((None, 64))
        >>> is_fresh(dense)
        True
    """
    weights = list(getattr(layer, "weights", ()))
    if not weights:
        return None
    if isinstance(layer, _NORMALIZING):
        return all(_is_at_start(layer, each) for each in weights)
    kernel, initializer = _kernel(layer)
    if kernel is None or initializer is None:
        return None
    if any(not _is_at_start(layer, each) for each in weights if each is not kernel):
        return False
    return _is_drawn_by(np.asarray(keras.ops.convert_to_numpy(kernel.value), np.float32), initializer)


def _kernel(layer: keras.Operation) -> tuple[keras.Variable | None, keras.Initializer | None]:
    for name, initializer in (
        ("kernel", "kernel_initializer"), ("kernel", "depthwise_initializer"),
        ("depthwise_kernel", "depthwise_initializer"),
    ):  # fmt: skip
        if getattr(layer, name, None) is not None and getattr(layer, initializer, None) is not None:
            return getattr(layer, name), getattr(layer, initializer)
    return None, None


def _is_at_start(layer: keras.Operation, variable: keras.Variable) -> bool:
    """Whether a weight beside the kernel has its first value, as far as that is a constant."""
    initializer = getattr(layer, f"{variable.name}_initializer", None)
    if initializer is None:
        names = {"moving_mean": keras.initializers.Zeros(), "moving_variance": keras.initializers.Ones()}
        initializer = names.get(variable.name)
    if not isinstance(initializer, _CONSTANT):
        return True
    first = keras.ops.convert_to_numpy(initializer(variable.shape, variable.dtype))
    return bool(np.array_equal(keras.ops.convert_to_numpy(variable.value), first))


def _is_drawn_by(values: np.ndarray, initializer: keras.Initializer) -> bool | None:
    if isinstance(initializer, _CONSTANT):
        return bool(np.array_equal(values, keras.ops.convert_to_numpy(initializer(values.shape))))
    if not _FEWEST <= values.size <= _LARGEST:
        return None
    again = type(initializer).from_config({**initializer.get_config(), **_another_seed(initializer)})
    drawn = np.asarray(keras.ops.convert_to_numpy(again(values.shape)), np.float32)
    is_bounded = "uniform" in str(getattr(initializer, "distribution", type(initializer).__name__)).lower()
    largest = np.abs(drawn).max() * (1 + 20 / values.size if is_bounded else 1.5)
    if np.abs(values).max() > largest:
        return False
    critical: float = _SIGNIFICANT * (2 / min(values.size, _SAMPLE)) ** 0.5
    return _distance(values.ravel(), drawn.ravel()) < critical


def _another_seed(initializer: keras.Initializer) -> dict[str, int]:
    return {"seed": 12345} if "seed" in initializer.get_config() else {}


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    """The largest distance of two distribution functions."""
    one, other = (np.sort(each[:: max(1, each.size // _SAMPLE)]) for each in (first, second))
    places = np.concatenate([one, other])
    shares = (np.searchsorted(each, places, side="right") / each.size for each in (one, other))
    return float(np.abs(np.subtract(*shares)).max())
