"""Fingerprints of images and labels."""

from __future__ import annotations

import hashlib

import numpy as np

from lrdiag.record.arrays import Dataset

FORM = "images:"
"""How a fingerprint of this form begins. lrdiag 0.1 hashed all images in one stream, which can't be done in parts."""
_BYTES = 16


def digests(images: np.ndarray) -> np.ndarray:
    """Returns the BLAKE2b of each image, `uint8` of shape `(n, 16)`. Images of different shapes differ.

    Args:
        images: `uint8` of shape `(n, height, width, channels)`.
    """
    start = hashlib.blake2b(repr(images.shape[1:]).encode(), digest_size=_BYTES)
    found = np.empty((len(images), _BYTES), np.uint8)
    for image, each in zip(np.ascontiguousarray(images), found, strict=True):
        digest = start.copy()
        digest.update(image.data)
        each[:] = np.frombuffer(digest.digest(), np.uint8)
    return found


def fingerprint_of(digests_of_images: np.ndarray, labels: np.ndarray) -> str:
    """Identifies a test set by the digest of each image, as `digests` returns it, and their labels of shape `(n,)`."""
    digest = hashlib.sha256(np.ascontiguousarray(digests_of_images).data)
    digest.update(np.ascontiguousarray(labels, "<i8").data)
    return FORM + digest.hexdigest()


def identity_of(dataset: Dataset) -> str:
    """Returns the hexadecimal SHA-256 of all images and labels of a dataset, and of the names of its classes."""
    digest = hashlib.sha256(repr(dataset.classes).encode(errors="replace"))
    for each in (dataset.train, dataset.validation, dataset.test):
        digest.update(fingerprint_of(digests(each.images), each.labels).encode())
    return digest.hexdigest()
