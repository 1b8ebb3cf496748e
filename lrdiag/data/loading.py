"""From what a run is asked for to its data: choose a source, read it, limit it, hold out the validation images."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from lrdiag.data.sampling import hold_out_validation, subset
from lrdiag.data.sources.cifar10 import Cifar10
from lrdiag.data.sources.digits import Digits
from lrdiag.data.sources.image_folder import ImageFolder
from lrdiag.data.sources.npz import ImageArrays
from lrdiag.data.sources.table import ImageTable
from lrdiag.data.sources.tfds import TfdsFolder
from lrdiag.errors import DataUnavailable, SettingsError, did_you_mean
from lrdiag.progress import Progress
from lrdiag.record.arrays import Dataset, LabelledImages
from lrdiag.settings import Settings
from lrdiag.vocabulary import DATA_NAMES

VALIDATION_FRACTION = 0.1

_OF_ONES_OWN = (TfdsFolder, ImageFolder, ImageArrays, ImageTable)  # the first that reads a path reads it
_CHOICES = (
    f"{', '.join(DATA_NAMES)}, or the path of a folder of images (train/<class>/ and test/<class>/, or <class>/ alone)"
    ", of a .npz file of arrays, of a .csv or .parquet table of path and label, or of a folder of TensorFlow Datasets"
)
_TEST_SEED = 0  # not the run's: a limit leaves the same test images in every run, so that runs can be compared
_NAMES_SHOWN = 5


class Source(Protocol):
    """Where images come from."""

    @property
    def name(self) -> str:
        """What the data is called in the report."""

    def load(self, progress: Progress, *, test_only: bool = False) -> Dataset:
        """Reads every image, or, to judge a network that is trained already, the test images alone."""


def load_dataset(settings: Settings, progress: Progress) -> Dataset:
    """Reads the data that `settings` ask for and divides it into training, validation and test images.

    Where the data brings no validation images, a tenth of the training images, after any limit, is held out. Where no
    data is asked for and CIFAR-10 cannot be had, the digits of scikit-learn stand in, and `fallback` says why.

    Example:
        >>> from lrdiag.progress import Silence
        >>> dataset = load_dataset(Settings(data="digits", limit_train=500, limit_test=100), Silence())
        >>> len(dataset.train), len(dataset.validation), len(dataset.test)
        (450, 50, 100)

    Args:
        settings: `data`, `data_dir`, `image_size`, `limit_train`, `limit_test` and `seed` are read. The seed chooses
            training and validation images, never the test images.
        progress: Is told of each stage, and warned of what the reader must not miss.

    Returns:
        The dataset, with `validation` set.

    Raises:
        SettingsError: If `data` is none of the kinds that can be read.
        DataUnavailable: If CIFAR-10 was asked for by name and cannot be had.
        DataError: If the data is broken or too small for the limits.
    """
    dataset = _load_or_fall_back(settings, progress)
    _warn(dataset, progress)
    train = _limit(dataset.train, settings.limit_train, dataset.classes, settings.seed)
    test = _limit(dataset.test, settings.limit_test, dataset.classes, _TEST_SEED)
    limited = replace(dataset, train=train, test=test)
    return limited if len(limited.validation) else hold_out_validation(limited, VALIDATION_FRACTION, settings.seed)


def load_test_set(
    data: str | None, data_dir: Path | None, image_size: tuple[int, int] | None, channels: int, progress: Progress
) -> Dataset:
    """Reads the images that a network is judged on which is trained already.

    These are the test images, or all, where the data is not divided.

    Example:
        >>> from lrdiag.progress import Silence
        >>> dataset = load_test_set("digits", None, (8, 8), 1, Silence())
        >>> dataset.test.images.shape, len(dataset.train)
        ((360, 8, 8, 1), 0)

    Args:
        data: As in `Settings`; `None` is CIFAR-10, for which nothing stands in.
        data_dir: The folder that holds CIFAR-10, or `None`: Keras's cache.
        image_size: Height and width that the network takes, in pixels; `None` as in `Settings`.
        channels: How many it takes, 3 or 1 (grey).
        progress: Is told of each stage, and warned of what the reader must not miss.

    Returns:
        The dataset, with `test` alone.

    Raises:
        SettingsError: If `data` is none of the kinds that can be read, or `channels` is neither 1 nor 3.
        DataUnavailable: If CIFAR-10 was asked for and cannot be had.
        DataError: If the data is broken.
    """
    wanted = "cifar10" if data is None else data
    dataset = _source(wanted, data_dir, image_size, channels).load(progress, test_only=True)
    _warn(dataset, progress)
    return dataset


def _load_or_fall_back(settings: Settings, progress: Progress) -> Dataset:
    if settings.data is not None:
        return _source(settings.data, settings.data_dir, settings.image_size).load(progress)
    try:
        return Cifar10(settings.data_dir, settings.image_size).load(progress)
    except DataUnavailable as error:
        progress.warn(f"{error}\nUntil then, this run uses the digits of scikit-learn instead.")
        reason = str(error).partition("\n")[0]
        return replace(Digits(settings.image_size).load(progress), fallback=reason)


def _source(data: str, data_dir: Path | None, image_size: tuple[int, int] | None, channels: int = 3) -> Source:
    if channels not in (1, 3):
        raise SettingsError(f"Images have 3 channels, or 1 where they are grey. Received: channels={channels}")
    if data == "cifar10":
        return Cifar10(data_dir, image_size, channels)
    if data == "digits":
        return Digits(image_size, channels)
    path = _path(data)
    kind = next((kind for kind in _OF_ONES_OWN if data and kind.reads(path)), None)  # no path is not this folder
    if kind is None:
        what = "which is none of these" if data and os.path.exists(path) else "and there is no such file or folder"
        meant = did_you_mean(data.lower(), DATA_NAMES)
        raise SettingsError(f"`data` must be {_CHOICES}. Received: {data!r}, {what}{meant}")
    return kind(path, image_size, channels)


def _path(data: str) -> Path:
    try:
        return Path(data).expanduser()
    except RuntimeError:  # `~name` of nobody: then it is the name of a file
        return Path(data)


def _warn(dataset: Dataset, progress: Progress) -> None:
    if dataset.skipped:
        first = dataset.skipped[0]
        progress.warn(
            f"Files that could not be read and are left out: {len(dataset.skipped):,}, the first {first.file}: "
            f"{first.reason}."
        )
    counts = np.bincount(dataset.test.labels, minlength=len(dataset.classes))
    absent = [name for name, count in zip(dataset.classes, counts, strict=True) if not count]
    if absent:
        more = f" and {len(absent) - _NAMES_SHOWN:,} more" if len(absent) > _NAMES_SHOWN else ""
        progress.warn(f"There are no test images of {', '.join(absent[:_NAMES_SHOWN])}{more}: these are not judged.")


def _limit(images: LabelledImages, size: int | None, classes: tuple[str, ...], seed: int) -> LabelledImages:
    return images if size is None else subset(images, size, classes, seed)
