"""Random subsets and splits that keep the proportions of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lrdiag.errors import DataError
from lrdiag.record.arrays import Dataset, LabelledImages

_FIXED_SEED = 0  # not the seed of the run: the test images are the same in each run, so runs can be compared


def subset(images: LabelledImages, size: int, classes: Sequence[str], seed: int) -> LabelledImages:
    """Draws random images without replacement, and keeps the proportions of the classes.

    At least one image of each class is drawn. If there are no more than `size` images, all are returned.

    Example:
        >>> images = LabelledImages(np.zeros((6, 1, 1, 3), np.uint8), np.array([0, 1, 0, 1, 1, 1]))
        >>> subset(images, 3, ("cat", "dog"), seed=0).labels
        array([0, 1, 1])

    Args:
        images: The images to draw from.
        size: Number of images to draw.
        classes: Name of each class.
        seed: Random seed.

    Returns:
        The drawn images, in their original order.

    Raises:
        DataError: If `size` is smaller than the number of classes.
    """
    present = len(np.unique(images.labels))
    if size < present:
        raise DataError(
            f"A limit must leave at least one image of each class: {present} or more of {', '.join(classes)}. "
            f"Received: {size}. Raise the limit"
        )
    if size >= len(images):
        return images
    return images.take(np.sort(_spread(images.labels, seed)[:size]))


def random_subset(images: LabelledImages, size: int, seed: int) -> LabelledImages:
    """Draws random images without replacement, each with the same probability.

    Example:
        >>> images = LabelledImages(np.zeros((6, 1, 1, 3), np.uint8), np.arange(6))
        >>> random_subset(images, 3, seed=0).labels
        array([3, 4, 5])

    Args:
        images: The images to draw from.
        size: Number of images to draw. If there are fewer, all are returned.
        seed: Random seed.

    Returns:
        The drawn images, in their original order.
    """
    if size >= len(images):
        return images
    return images.take(np.sort(np.random.default_rng(seed).choice(len(images), size, replace=False)))


def hold_out_validation(dataset: Dataset, fraction: float = 0.1, seed: int = 0) -> Dataset:
    """Splits validation images off the training images, and keeps the proportions of the classes.

    Example:
        >>> images = LabelledImages(np.zeros((20, 1, 1, 3), np.uint8), np.arange(20) % 2)
        >>> split = hold_out_validation(Dataset("d", "nowhere", ("cat", "dog"), images, images))
        >>> split.train.labels.size, split.validation.labels
        (18, array([0, 1]))

    Args:
        dataset: Its `train` is divided. Its `test` stays as it is.
        fraction: Share to hold out, above 0 and at most 0.5. At least one image of each class is held out.
        seed: Random seed.

    Returns:
        The dataset with `train` and `validation`, each in the original order.

    Raises:
        DataError: If a class has fewer than two training images, or `fraction` is out of range.
    """
    if not 0 < fraction <= 0.5:
        raise DataError(f"`fraction` must be above 0 and at most 0.5. Received: {fraction}")
    labels = dataset.train.labels
    for name, count in zip(dataset.classes, np.bincount(labels, minlength=len(dataset.classes)), strict=True):
        if count < 2:
            raise DataError(
                "Each class needs two training images or more, one to train on and one to validate with. "
                f"Received: {count} of class {name!r} in {dataset.source}. Add images or raise the limit"
            )
    size = validation_size(len(labels), len(dataset.classes), fraction)
    order = _spread(labels, seed)
    validation, train = np.sort(order[:size]), np.sort(order[size:])
    return replace(dataset, train=dataset.train.take(train), validation=dataset.train.take(validation))


def validation_size(train_size: int, classes: int, fraction: float) -> int:
    """Returns how many training images `hold_out_validation` holds out."""
    return max(classes, round(fraction * train_size))


def split_by_class(labels: npt.NDArray[np.int64], fraction: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Chooses a random fraction of each class, the same in each run: at least one image of a class that has two.

    Example:
        >>> rest, chosen = split_by_class(np.array([0, 0, 0, 0, 0, 1, 1, 2]), 0.2)
        >>> np.bincount([0, 0, 0, 0, 0, 1, 1, 2]) - np.bincount(np.array([0, 0, 0, 0, 0, 1, 1, 2])[rest])
        array([1, 1, 0])

    Args:
        labels: Class of each image, of shape `(n,)`.
        fraction: Share to choose.

    Returns:
        Indices of the other and of the chosen images, ascending.
    """
    order, rank, counts = _rank_by_class(labels, np.random.default_rng(_FIXED_SEED))
    chosen = rank < np.maximum(np.rint(fraction * counts), counts > 1)
    return np.sort(order[~chosen]), np.sort(order[chosen])


def _spread(labels: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Orders images at random so that the first k contain the classes in proportion, each at least once.

    The image of rank r within its class of n is placed at r / n. scikit-learn's stratified splits may leave a rare
    class out.
    """
    random = np.random.default_rng(seed)
    order, rank, counts = _rank_by_class(labels, random)
    ties = random.random(len(labels))
    return order[np.lexsort((ties, rank / counts))]


def _rank_by_class(
    labels: npt.NDArray[np.int64], random: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns a random order by class, and for each place the rank within its class and the size of the class."""
    shuffled = random.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, first, counts = np.unique(labels[order], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(first, counts)
    return order, rank, np.repeat(counts, counts)
