"""Clusters of images that look alike to the model, apart from the class that it sees in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lrdiag.diagnosis.attributes import Attribute
from lrdiag.images.choosing import draws
from lrdiag.record.image_table import ImageTable

CLUSTERS = 16
_DIRECTIONS = 24
_ITERATIONS = 10
_MOST_FITTED = 10_000  # images from which clusters are formed; the others join them


def clusters_of(test: ImageTable, attributes: Sequence[Attribute]) -> Iterator[tuple[str, np.ndarray]]:
    """Yields clusters of the features and of the attributes: a name, and `bool` of shape `(n,)`.

    Args:
        test: The test images.
        attributes: Their attributes.
    """
    fitted = np.argsort(draws(0, test.indices), kind="stable")[:_MOST_FITTED]
    looks = np.stack([each.values for each in attributes], axis=1)
    yield from _clusters("images that look alike, group {}", _standardized(looks), fitted)
    if test.features is not None and test.features.shape[1] > 1:
        features = beside_the_scores(test.features.astype(np.float32), test.predictions.ranking, fitted)
        yield from _clusters("images that are alike to the model, group {}", features, fitted)


def beside_the_scores(features: np.ndarray, scores: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Returns the main directions of that part of the features that does not follow linearly from the scores.

    Args:
        features: `float32` of shape `(n, d)`.
        scores: `float64` of shape `(n, classes)`.
        fitted: The rows that it is measured on.
    """
    features, scores = (_centred(values, fitted) for values in (features, scores))
    explained = np.linalg.lstsq(scores[fitted], features[fitted], rcond=None)[0]
    rest = features - scores @ explained
    values, directions = np.linalg.eigh(rest[fitted].T @ rest[fitted])
    return _standardized(rest @ directions[:, np.argsort(-values)[:_DIRECTIONS]])


def _centred(values: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """The values minus their means. Values that are not finite become 0."""
    values = np.nan_to_num(np.asarray(values, np.float32), posinf=0, neginf=0)
    return np.asarray(values - values[fitted].mean(axis=0))


def _standardized(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float32)
    return np.asarray((values - values.mean(axis=0)) / (values.std(axis=0) + 1e-6))


def _clusters(name: str, points: np.ndarray, fitted: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    nearest = _k_means(points, fitted)
    for number in range(CLUSTERS):
        yield name.format(number + 1), nearest == number


def _k_means(points: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """The cluster of each point. Lloyd's algorithm, from the first points of the random order."""
    sample = points[fitted]
    centres = sample[:CLUSTERS].copy()
    for _ in range(_ITERATIONS):
        members = np.eye(len(centres), dtype=np.float32)[_nearest(sample, centres)]
        counts = members.sum(axis=0)[:, np.newaxis]
        centres = np.where(counts > 0, members.T @ sample / np.maximum(counts, 1), centres)
    return _nearest(points, centres)


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.asarray(((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1))
