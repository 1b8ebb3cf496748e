"""Small sets of images, `uint8` from 0 to 255, and ways to prepare them."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

ANIMALS = (2, 3, 4, 5, 6, 7)  # classes of CIFAR-10


class Images(NamedTuple):
    """Training and validation images with integer labels."""

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape[1:]

    def first(self, count: int) -> Images:
        """Keeps so many training images."""
        return self._replace(x=self.x[:count], y=self.y[:count])

    def take(self, chosen: np.ndarray) -> Images:
        """Keeps these training images, in this order."""
        return self._replace(x=self.x[chosen], y=self.y[chosen])


def digits(size: int = 8, channels: int = 1) -> Images:
    """Returns 1,400 training and 397 validation images of 8, 16 or 32 pixels."""
    loaded = load_digits()
    images = np.rint(loaded.images * (255 / 16)).astype("uint8")
    images = images.repeat(size // 8, axis=1).repeat(size // 8, axis=2)
    images = images[..., np.newaxis].repeat(channels, axis=3)
    order = np.random.default_rng(11).permutation(len(images))
    images, labels = images[order], loaded.target[order].astype("int64")
    return Images(images[:1400], labels[:1400], images[1400:], labels[1400:])


def numbers(count: int = 4000) -> Images:
    """Returns images of two digits side by side: the numbers 0 to 99, so 100 classes."""
    source, generator = digits(), np.random.default_rng(12)

    def paired(images: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        left, right = generator.integers(0, len(images), (2, count))
        return np.concatenate([images[left], images[right]], axis=2), labels[left] * 10 + labels[right]

    return Images(*paired(source.x, source.y, count), *paired(source.x_val, source.y_val, 800))


@functools.cache
def _cifar() -> Images:
    from lrdiag.data import load_dataset
    from lrdiag.progress import Silence
    from lrdiag.settings import Settings

    settings = Settings(data="cifar10", data_dir=Path(os.environ["LRDIAG_DATA_DIR"]), limit_train=8000, limit_test=600)
    loaded = load_dataset(settings, Silence())
    order = np.random.default_rng(13).permutation(len(loaded.train))
    return Images(loaded.train.images[order], loaded.train.labels[order], loaded.test.images, loaded.test.labels)


def cifar(count: int = 2400, size: int = 32) -> Images:
    """Returns so many training images of CIFAR-10 and 600 for validation, of 32 or 16 pixels."""
    every = _cifar().first(count)
    return every if size == 32 else every._replace(x=_halved(every.x), x_val=_halved(every.x_val))


def animals(count: int = 2000, size: int = 16) -> Images:
    """Returns two classes: vehicles (0) and animals (1), about as many of each."""
    every = cifar(8000, size)
    (x, y), (x_val, y_val) = _two_classes(every.x, every.y), _two_classes(every.x_val, every.y_val)
    return Images(x, y, x_val, y_val).first(count)


def _two_classes(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    chosen = ~np.isin(labels, ANIMALS[:2])  # four classes of each remain
    return images[chosen], np.isin(labels[chosen], ANIMALS).astype("int64")


def _halved(images: np.ndarray) -> np.ndarray:
    count, height, width, channels = images.shape
    blocks = images.reshape(count, height // 2, 2, width // 2, 2, channels)
    return np.rint(blocks.mean(axis=(2, 4))).astype("uint8")


def raw(images: np.ndarray) -> np.ndarray:
    """From 0 to 255."""
    return images.astype("float32")


def scaled(images: np.ndarray) -> np.ndarray:
    """From 0 to 1."""
    return images.astype("float32") / 255


def centred(images: np.ndarray) -> np.ndarray:
    """From −1 to 1."""
    return images.astype("float32") / 127.5 - 1


def standardized(images: np.ndarray) -> np.ndarray:
    """With a mean of about 0 and a deviation of about 1, for CIFAR-10."""
    return (scaled(images) - 0.47) / 0.25


def caffe(images: np.ndarray) -> np.ndarray:
    """Blue, green, red, with the mean of ImageNet subtracted: from about −124 to 151."""
    return images[..., ::-1].astype("float32") - np.array([103.9, 116.8, 123.7], "float32")


def one_hot(labels: np.ndarray, classes: int = 10) -> np.ndarray:
    return np.eye(classes, dtype="float32")[labels]
