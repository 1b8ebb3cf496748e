"""A simple classifier of pictures, as a second opinion beside that of the model.

It has never seen the label of an image that it classifies, so it can't have learned a wrong one by heart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FOLDS = 5
SHRINKAGE = 300.0
"""Number of images below which the covariance is closer to a multiple of the identity than to what was measured."""
_LEAST_SHRINKAGE = 0.03
_NEVER = -100.0
"""Logit of a class without images."""
_FEWEST = 4
"""Fewest images for each class, on average."""


class Sums(NamedTuple):
    """What is summed over images: the sums of several sets of images can be added.

    Attributes:
        squares: `(d, d)`: products of the values.
        totals: `(classes, d)`: values of each class.
        counts: `(classes,)`: images of each class.
    """

    squares: np.ndarray
    totals: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, labels: np.ndarray, classes: int) -> Sums:
        """The sums of images with `values` of shape `(n, d)`."""
        chosen = np.eye(classes, dtype=np.float32)[labels]
        return cls(values.T @ values, chosen.T @ values, chosen.sum(axis=0))

    def without(self, other: Sums) -> Sums:
        """The sums without those of some of the images."""
        return Sums(*(mine - its for mine, its in zip(self, other, strict=True)))


class Linear(NamedTuple):
    """A linear classifier: `values @ weights + offsets` are the logits."""

    weights: np.ndarray
    offsets: np.ndarray

    def logits(self, values: np.ndarray) -> np.ndarray:
        """The logits of images, of shape `(n, classes)`."""
        return np.asarray(values @ self.weights + self.offsets)

    @classmethod
    def fit(cls, sums: Sums) -> Linear:
        """Linear discriminant analysis with equal priors and a covariance that is shrunk towards a multiple of I.

        Source: Friedman, "Regularized discriminant analysis" (1989).
        """
        size, width = float(sums.counts.sum()), len(sums.squares)
        means = sums.totals / np.maximum(sums.counts, 1)[:, None]
        within = (sums.squares - (means.T * sums.counts) @ means) / size
        shrinkage = max(SHRINKAGE / size, _LEAST_SHRINKAGE) * np.trace(within) / width
        weights = np.linalg.solve(within + (shrinkage + 1e-9) * np.eye(width, dtype=np.float32), means.T)
        offsets = -(means * weights.T).sum(axis=1) / 2
        return cls(weights, np.where(sums.counts > 0, offsets, _NEVER))


class Opinion(NamedTuple):
    """Logits of the simple classifier.

    Attributes:
        learned: `float32` of shape `(n, classes)` for the images that it learned from, each by a classifier that was
            fitted without that image.
        others: The same for other images: the mean of these classifiers.
        named: `int64` of shape `(folds, m)`: the class that each of these classifiers names for the other images. The
            mean of several is better than each of them, which must not be mistaken for wrong labels in `learned`.
    """

    learned: np.ndarray
    others: np.ndarray
    named: np.ndarray


def second_opinion(values: np.ndarray, labels: np.ndarray, classes: int, others: np.ndarray) -> Opinion | None:
    """Classifies images by their descriptions.

    Args:
        values: `float32` of shape `(n, d)`: descriptions of the images to learn from.
        labels: `int64` of shape `(n,)`: their labels.
        classes: Number of classes.
        others: `float32` of shape `(m, d)`: descriptions of other images.

    Returns:
        The logits, or `None` if the images are too few to learn from.
    """
    if len(values) < max(_FEWEST * classes, 2 * FOLDS):
        return None
    middle = values.mean(axis=0)
    values, others = values - middle, others - middle
    fold = np.arange(len(values)) % FOLDS
    parts = [Sums.of(values[fold == each], labels[fold == each], classes) for each in range(FOLDS)]
    total = Sums(*(np.sum(each, axis=0) for each in zip(*parts, strict=True)))
    learned, beside = np.empty((len(values), classes), np.float32), []
    for each, part in enumerate(parts):
        classifier = Linear.fit(total.without(part))
        learned[fold == each] = classifier.logits(values[fold == each])
        beside.append(classifier.logits(others))
    return Opinion(learned, np.mean(beside, axis=0), np.argmax(beside, axis=2))
