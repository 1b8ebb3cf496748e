"""Random samples that depend only on a seed and on the places of images, so that a set can be read in parts."""

from __future__ import annotations

import numpy as np

_GOLDEN, _FIRST, _SECOND = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def draws(seed: int, indices: np.ndarray) -> np.ndarray:
    """Returns a number for each image that is uniformly distributed from 0 to below 1.

    Those with the lowest numbers are a random sample. It is the same in whatever order or parts the images are read.

    Example:
        >>> draws(0, np.arange(3)).round(2).tolist()
        [0.88, 0.43, 0.03]

    Args:
        seed: A random seed ≥ 0.
        indices: Integers of shape `(n,)`: places in the set.

    Returns:
        `float64` of shape `(n,)`.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014), SplitMix64.
    """
    with np.errstate(over="ignore"):
        bits = (np.asarray(indices, np.uint64) + np.uint64(1)) * _GOLDEN + np.uint64(seed) * _SECOND
        bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
        bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
        bits ^= bits >> np.uint64(31)
    return np.asarray((bits >> np.uint64(11)) / 2.0**53)


def sample(seed: int, size: int, most: int) -> np.ndarray:
    """Returns `most` of the places from 0 to `size - 1`, or all, ascending: `int64` of shape `(k,)`."""
    if size <= most:
        return np.arange(size)
    return np.sort(np.argpartition(draws(seed, np.arange(size)), most - 1)[:most])
