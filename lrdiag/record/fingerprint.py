"""Fingerprints of images and labels."""

from __future__ import annotations

import hashlib

import numpy as np

from lrdiag.record.arrays import Dataset


class Fingerprint:
    """Identifies a test set. Images are added in batches of any size."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._shape: tuple[int, ...] = ()

    def update(self, images: np.ndarray) -> None:
        """Adds images, `uint8` of shape `(n, height, width, channels)`."""
        self._shape = images.shape[1:]
        self._digest.update(np.ascontiguousarray(images).data)

    def of(self, labels: np.ndarray) -> str:
        """Returns the hexadecimal SHA-256 of the images so far and their labels, integers of shape `(n,)`."""
        digest = self._digest.copy()
        digest.update(repr((self._shape, labels.tolist())).encode())
        return digest.hexdigest()


def identity_of(dataset: Dataset) -> str:
    """Returns the hexadecimal SHA-256 of all images and labels of a dataset, and of the names of its classes."""
    digest = hashlib.sha256(repr(dataset.classes).encode(errors="replace"))
    for each in (dataset.train, dataset.validation, dataset.test):
        fingerprint = Fingerprint()
        fingerprint.update(each.images)
        digest.update(fingerprint.of(each.labels).encode())
    return digest.hexdigest()
