"""Images that resemble no image of the training set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lrdiag.images.choosing import sample

FEWEST = 100
"""Fewest training images that show what is usual."""
BEYOND = 1.5
"""An image is foreign if it is this many times as unusual as the most unusual training image."""
MOST = 0.2
"""If a larger share of the images is foreign, all of them differ, which is another problem."""
_MOST_IMAGES = 10_000
_SHRINKAGE = 300.0
_LEAST_SHRINKAGE = 0.03


def foreign_images(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Measures how much farther images are from the training images than the most unusual training image.

    The distance of Mahalanobis is measured from one half of the training images. The other half shows which distances
    are usual. Distances are compared by their logarithms.

    Args:
        values: `float32` of shape `(n, d)`: descriptions of the training images.
        others: `float32` of shape `(m, d)`: those of the images.

    Returns:
        `float64` of shape `(m,)`: distances, relative to the farthest training image. Images above 1 are foreign. 0 if
        the training images are too few, or if too many images are far.
    """
    if len(values) < FEWEST:
        return np.zeros(len(others))
    values = values[sample(1, len(values), _MOST_IMAGES)]
    distances = _from(values[::2])
    usual, far = np.log(distances(values[1::2])), np.log(distances(others))
    reach = BEYOND * float(usual.max() - np.median(usual))
    relative = np.maximum(far - np.median(usual), 0) / max(reach, 1e-6)
    return relative if (relative > 1).mean() <= MOST else np.zeros(len(others))


def _from(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function that measures squared distances from these images."""
    middle = values.mean(axis=0)
    spread = np.cov(values.T)
    width = len(spread)
    shrinkage = max(_SHRINKAGE / len(values), _LEAST_SHRINKAGE) * np.trace(spread) / width
    inverse = np.linalg.inv(spread + (shrinkage + 1e-9) * np.eye(width))
    return lambda images: np.einsum("nd,nd->n", (images - middle) @ inverse, images - middle) + 1e-12
