"""Sets of images, `uint8` from 0 to 255, with the names of their classes. Each is drawn with a seed."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from sklearn.datasets import load_digits

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SUPERCLASSES = {"aircraft": (0,), "roadvehicle": (1, 9), "vessel": (8,), "bird": (2,), "mammal": (3, 4, 5, 7)}


class Data(NamedTuple):
    """Training and test images of shape `(n, height, width, channels)`, and `int64` labels."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape[1:]

    @property
    def classes(self) -> int:
        return len(self.names)

    def keep(self, train: np.ndarray) -> Data:
        """Keeps these training images, in this order."""
        return self._replace(x=self.x[train], y=self.y[train])

    def first(self, train: int, test: int) -> Data:
        """Keeps so many training and test images."""
        return self._replace(x=self.x[:train], y=self.y[:train], x_test=self.x_test[:test], y_test=self.y_test[:test])

    def with_classes(self, classes: dict[str, Sequence[int]]) -> Data:
        """Joins classes, and drops those that are not named."""
        new = np.full(self.classes, -1)
        for number, old in enumerate(classes.values()):
            new[list(old)] = number
        kept, tested = new[self.y] >= 0, new[self.y_test] >= 0
        return Data(self.x[kept], new[self.y[kept]], self.x_test[tested], new[self.y_test[tested]], tuple(classes))

    def balanced(self) -> Data:
        """Keeps the same number of images of each class."""
        return self._replace(
            **dict(zip(("x", "y"), _balanced(self.x, self.y), strict=True)),
            **dict(zip(("x_test", "y_test"), _balanced(self.x_test, self.y_test), strict=True)),
        )


def _balanced(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    least = np.bincount(labels).min()
    kept = np.sort(np.concatenate([np.flatnonzero(labels == label)[:least] for label in np.unique(labels)]))
    return images[kept], labels[kept]


@functools.cache
def _cifar() -> Data:
    from lrdiag.data import load_dataset
    from lrdiag.progress import Silence
    from lrdiag.settings import Settings

    loaded = load_dataset(Settings(data="cifar10", data_dir=Path(os.environ["LRDIAG_DATA_DIR"])), Silence())
    images, labels = loaded.train.images, loaded.train.labels.astype("int64")
    return Data(images, labels, loaded.test.images, loaded.test.labels.astype("int64"), loaded.classes)


def cifar(seed: int) -> Data:
    """Returns the images of CIFAR-10 in an order of its own."""
    every, generator = _cifar(), np.random.default_rng([21, seed])
    order, tested = generator.permutation(len(every.y)), generator.permutation(len(every.y_test))
    return Data(every.x[order], every.y[order], every.x_test[tested], every.y_test[tested], every.names)


def small_cifar(seed: int) -> Data:
    """Returns images of CIFAR-10 of 16 pixels."""
    data = cifar(seed).first(12000, 3000)
    return data._replace(x=resized(data.x, 16), x_test=resized(data.x_test, 16))


def grey_cifar(seed: int) -> Data:
    """Returns CIFAR-10 in grey."""
    data = cifar(seed).first(10000, 3000)
    return data._replace(x=_grey(data.x), x_test=_grey(data.x_test))


def _grey(images: np.ndarray) -> np.ndarray:
    return np.rint(images @ np.array([0.299, 0.587, 0.114])).astype("uint8")[..., np.newaxis]


def animals(seed: int) -> Data:
    """Returns two classes of CIFAR-10: vehicles and animals."""
    return cifar(seed).with_classes({"vehicle": (0, 1, 8, 9), "animal": (2, 3, 4, 5, 6, 7)}).balanced()


def five(seed: int) -> Data:
    """Returns five classes of CIFAR-10."""
    every = cifar(seed)
    return every.with_classes({every.names[label]: (label,) for label in (0, 2, 4, 6, 8)})


def superclasses(seed: int) -> Data:
    """Returns five classes that join those of CIFAR-10."""
    return cifar(seed).with_classes(SUPERCLASSES).balanced()


def digits(seed: int, size: int = 8) -> Data:
    """Returns 1,400 training and 397 test images of digits, enlarged to `size` pixels."""
    loaded = load_digits()
    images = np.rint(loaded.images * (255 / 16)).astype("uint8")[..., np.newaxis]
    images = images if size == 8 else resized(images, size)
    order = np.random.default_rng([21, seed]).permutation(len(images))
    images, labels = images[order], loaded.target[order].astype("int64")
    return Data(images[:1400], labels[:1400], images[1400:], labels[1400:], NUMBERS)


def large_digits(seed: int) -> Data:
    """Returns digits of 28 pixels, as those of MNIST."""
    return digits(seed, 28)


def numbers(seed: int) -> Data:
    """Returns images of two digits side by side: 100 classes."""
    source, generator = digits(seed), np.random.default_rng([22, seed])

    def paired(images: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        left, right = generator.integers(0, len(images), (2, count))
        return np.concatenate([images[left], images[right]], axis=2), labels[left] * 10 + labels[right]

    names = tuple(f"{tens}-{ones}" for tens in NUMBERS for ones in NUMBERS)
    return Data(*paired(source.x, source.y, 8000), *paired(source.x_test, source.y_test, 1500), names)


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """Scales images to `side` pixels."""
    how = cv2.INTER_AREA if side < images.shape[1] else cv2.INTER_CUBIC
    scaled = np.stack([cv2.resize(image, (side, side), interpolation=how) for image in images])
    return scaled.reshape(len(images), side, side, images.shape[-1])


DataSet = Callable[[int], Data]
