"""The model as the experiments call it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Scores = Callable[[np.ndarray], np.ndarray]
"""Takes inputs of the model for `n` images, and returns logits of shape `(n, classes)`."""
BATCH = 256
"""Images that go through the model at once."""


def in_batches(scores: Scores, images: np.ndarray) -> np.ndarray:
    """Returns the scores of images in batches of one size, because the model is compiled for each size anew."""
    size = -(-len(images) // BATCH) * BATCH
    filled = images[np.arange(size) % len(images)]
    return np.concatenate([scores(filled[start : start + BATCH]) for start in range(0, size, BATCH)])[: len(images)]
