"""The model as the experiments call it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Scores = Callable[[np.ndarray], np.ndarray]
"""Takes inputs of the model for `n` images, and returns logits of shape `(n, classes)`."""
BATCH = 256
"""Images that go through the model at once, if they are small."""
_VALUES = 2**23  # of the images that go through it at once: 32 MiB


def batch_size(images: np.ndarray) -> int:
    """Returns how many of the images go through the model at once: a power of 2."""
    fitting = max(1, _VALUES // max(1, images[0].size))
    return min(BATCH, 1 << (int(fitting).bit_length() - 1))


def in_batches(scores: Scores, images: np.ndarray) -> np.ndarray:
    """Returns the scores of images in batches of one size, because the model is compiled for each size anew."""
    size = batch_size(images)
    return np.concatenate(
        [_scored(scores, images[start : start + size], size) for start in range(0, len(images), size)]
    )


def _scored(scores: Scores, few: np.ndarray, size: int) -> np.ndarray:
    full = few if len(few) == size else few[np.arange(size) % len(few)]
    return scores(full)[: len(few)]
