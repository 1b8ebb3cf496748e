"""Loads the data of a run: chooses a source, reads it, limits it, and holds out validation images.

A new source is a file in `sources/` and a row in `NAMED` or `BY_PATH`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lrdiag.data.fitting import DEFAULT_SIZE, Fitting
from lrdiag.data.listed import ListedImages
from lrdiag.data.sampling import hold_out_validation, subset
from lrdiag.data.sources.cifar10 import Cifar10
from lrdiag.data.sources.digits import Digits
from lrdiag.data.sources.image_folder import ImageFolder
from lrdiag.data.sources.npz import ImageArrays
from lrdiag.data.sources.parquet_images import DETECTED, Columns, ParquetImages
from lrdiag.data.sources.places import place_of
from lrdiag.data.sources.table import ImageTable
from lrdiag.data.sources.tar_images import TarImages
from lrdiag.data.sources.tfds import TfdsFolder
from lrdiag.errors import DataUnavailable, SettingsError, did_you_mean, did_you_mean_file
from lrdiag.progress import Progress
from lrdiag.record.arrays import Dataset, LabelledImages, SkippedFile

if TYPE_CHECKING:
    from lrdiag.settings import Settings
    from lrdiag.vocabulary import ResizeName

VALIDATION_FRACTION = 0.1

_TEST_SEED = 0  # not the seed of the run: a limit gives the same test images in each run, so runs can be compared
_NAMES_SHOWN = 5


class Source(Protocol):
    """Where images come from."""

    @property
    def name(self) -> str:
        """Name of the data in the report."""

    def load(self, progress: Progress, *, test_only: bool = False) -> Dataset:
        """Reads all images, or only the test images."""

    def listed(self, progress: Progress) -> ListedImages:
        """Returns the test images, of which any slice can be read alone."""


class PathSource(Protocol):
    """A kind of source that reads a path: a class that takes the path, and size and channels of the images."""

    def __call__(self, path: Path, fitting: Fitting) -> Source:
        """Returns the source at `path`."""

    def reads(self, path: Path) -> bool:
        """Returns whether `path` contains data of this kind."""


@dataclass(frozen=True)
class Request:
    """The settings that a source requested by name can use.

    Attributes:
        data_dir: The folder that contains CIFAR-10. `None` looks in Keras's cache.
        fitting: Size and channels of the images.
        columns: Where images and labels are.
    """

    data_dir: Path | None
    fitting: Fitting
    columns: Columns = DETECTED


TRAIN_SIZES = {"cifar10": 50_000, "digits": 1_437}
"""Number of training images of each source that is requested by name. All have ten classes."""
NAMED: dict[str, Callable[[Request], Source]] = {
    "cifar10": lambda asked: Cifar10(asked.data_dir, asked.fitting),
    "digits": lambda asked: Digits(asked.fitting),
}
"""Sources that are requested by name: those of `lrdiag.vocabulary.DATA_NAMES`."""

BY_PLACE: dict[str, type[ParquetImages] | type[TarImages]] = {
    "Parquet files with images": ParquetImages,
    "tar files of WebDataset": TarImages,
}
"""Sources that are requested by path, pattern or URL, with their description. They come before those of `BY_PATH`."""

BY_PATH: dict[str, PathSource] = {
    "a folder of TensorFlow Datasets": TfdsFolder,
    "a folder of images (train/<class>/ and test/<class>/, or <class>/ alone)": ImageFolder,
    "a .npz file of arrays": ImageArrays,
    "a .csv or .parquet table of path and label": ImageTable,
}
"""Sources that are requested by path, with their description. The first that reads the path is used.

`ImageFolder` reads every folder, so a source that reads certain folders stands before it.
"""


def load_dataset(settings: Settings, progress: Progress) -> Dataset:
    """Reads the data of a run and divides it into training, validation and test images.

    If the data has no validation images, a tenth of the training images is held out, after any limit. If no data is
    requested and CIFAR-10 is not available, the digits of scikit-learn are used, and `fallback` contains the reason.

    Example:
        >>> from lrdiag.progress import Silence
        >>> from lrdiag.settings import Settings
        >>> dataset = load_dataset(Settings(data="digits", limit_train=500, limit_test=100), Silence())
        >>> len(dataset.train), len(dataset.validation), len(dataset.test)
        (450, 50, 100)

    Args:
        settings: `data`, `data_dir`, `image_size`, `resize`, `limit_train`, `limit_test` and `seed` are used. The seed
            chooses training and validation images, never the test images.
        progress: The listener. It receives stages and warnings.

    Returns:
        The dataset, with `validation` set.

    Raises:
        SettingsError: If `data` is not one of the kinds that can be read.
        DataUnavailable: If CIFAR-10 was requested by name and is not available.
        DataError: If the data is invalid or too small for the limits.
    """
    dataset = _load_or_fall_back(settings, progress)
    warn_of(dataset.skipped, dataset.test.labels, dataset.classes, progress)
    train = _limit(dataset.train, settings.limit_train, dataset.classes, settings.seed)
    test = limited_test_images(dataset.test, settings.limit_test, dataset.classes)
    limited = replace(dataset, train=train, test=test)
    return limited if len(limited.validation) else hold_out_validation(limited, VALIDATION_FRACTION, settings.seed)


def limited_test_images(images: LabelledImages, size: int | None, classes: tuple[str, ...]) -> LabelledImages:
    """Returns the test images that a run with `limit_test=size` uses; all without a limit."""
    return _limit(images, size, classes, _TEST_SEED)


def list_test_images(
    data: str | None,
    data_dir: Path | None,
    image_size: tuple[int, int] | None,
    channels: int,
    progress: Progress,
    *,
    resize: ResizeName = "stretch",
    columns: Columns = DETECTED,
) -> ListedImages:
    """Lists the images to evaluate a trained model on: the test images, or all images if the data is not divided.

    None are kept in memory, and any slice of them can be read alone. `warn_of` says what was left out.

    Example:
        >>> from lrdiag.progress import SILENCE
        >>> listed = list_test_images("digits", None, (8, 8), 1, SILENCE)
        >>> len(listed), [part.images.shape for part in listed.part(100, 108).read(SILENCE)]
        (360, [(8, 8, 8, 1)])

    Args:
        data: See `Settings`. `None` is CIFAR-10, without a fallback.
        data_dir: The folder that contains CIFAR-10. `None` looks in Keras's cache.
        image_size: Height and width that the model takes, in pixels. `None` keeps the images' own size, which they
            must share.
        channels: Number of channels that the model takes: 3, or 1 for grey images.
        progress: The listener, while the images are listed.
        resize: How images of other sizes are brought to this size, as in `Settings`.
        columns: Where images and labels are in Parquet and tar files.

    Raises:
        SettingsError: If `data` is not one of the kinds that can be read, or `channels` is neither 1 nor 3.
        DataUnavailable: If CIFAR-10 was requested and is not available.
        DataError: If the data is invalid.
    """
    return _test_source(data, data_dir, image_size, channels, resize, columns).listed(progress)


def warn_of(skipped: Sequence[SkippedFile], labels: np.ndarray, classes: Sequence[str], progress: Progress) -> None:
    """Warns of files that were left out, and of classes without test images.

    Args:
        skipped: The files.
        labels: The true classes of the test images, integers of shape `(n,)`.
        classes: Name of each class.
        progress: The listener.
    """
    if skipped:
        progress.warn(
            f"Files that could not be read and are left out: {len(skipped):,}, the first {skipped[0].file}: "
            f"{skipped[0].reason}."
        )
    counts = np.bincount(labels, minlength=len(classes))
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if absent:
        more = f" and {len(absent) - _NAMES_SHOWN:,} more" if len(absent) > _NAMES_SHOWN else ""
        progress.warn(f"There are no test images of {', '.join(absent[:_NAMES_SHOWN])}{more}. They are not evaluated.")


def require_data(data: str | None) -> None:
    """Raises unless `data` is a name or the path of a kind that can be read. Reads no image.

    Raises:
        SettingsError: If it is neither.
    """
    if data is not None and data not in NAMED and _kind_at(data) is None:
        _kind_of(data)


def _load_or_fall_back(settings: Settings, progress: Progress) -> Dataset:
    fitting = Fitting(settings.image_size, resize=settings.resize, file_size=DEFAULT_SIZE)
    request = Request(settings.data_dir, fitting, Columns(settings.image_column, settings.label_column))
    if settings.data is not None:
        return _source(settings.data, request).load(progress)
    try:
        return NAMED["cifar10"](request).load(progress)
    except DataUnavailable as error:
        progress.warn(f"{error} This run uses the digits of scikit-learn instead.")
        return replace(NAMED["digits"](request).load(progress), fallback=error.reason)


def _test_source(
    data: str | None,
    data_dir: Path | None,
    image_size: tuple[int, int] | None,
    channels: int,
    resize: ResizeName,
    columns: Columns,
) -> Source:
    if channels not in (1, 3):
        raise SettingsError(f"Images have 3 channels, or 1 if they are grey. Received: channels={channels}")
    wanted = "cifar10" if data is None else data
    return _source(wanted, Request(data_dir, Fitting(image_size, channels, resize), columns))


def _source(data: str, request: Request) -> Source:
    if data in NAMED:
        return NAMED[data](request)
    if kind := _kind_at(data):
        return kind(place_of(data), request.fitting, request.columns)
    return _kind_of(data)(_path(data), request.fitting)


def _kind_at(data: str) -> type[ParquetImages] | type[TarImages] | None:
    """Returns the kind of data in the files of a path, a pattern or a URL, or `None`."""
    if not data or "\0" in data:
        return None
    place = place_of(data)
    found = next((kind for kind in BY_PLACE.values() if kind.reads(place)), None)
    if found is None and place.is_url:
        raise SettingsError(f"A URL must name {' or '.join(BY_PLACE)}. Received: {place.shown}, where there are none")
    return found


def _kind_of(data: str) -> PathSource:
    """Returns the kind of data at a path, or raises."""
    path = _path(data)
    for kind in BY_PATH.values() if data else ():  # an empty path would be the current folder
        if kind.reads(path):
            return kind
    if data and os.path.exists(path):
        problem = "which is not one of these"
    else:
        problem = f"and there is no such file or folder{did_you_mean(data, NAMED) or did_you_mean_file(path)}"
    kinds = f"{', '.join(NAMED)}, or the path of {', '.join([*BY_PATH, *BY_PLACE])}"
    raise SettingsError(f"`data` must be {kinds}. Received: {data!r}, {problem}")


def _path(data: str) -> Path:
    return Path(os.path.expanduser(data))  # without a user of that name, the tilde is part of a file name


def _limit(images: LabelledImages, size: int | None, classes: tuple[str, ...], seed: int) -> LabelledImages:
    return images if size is None else subset(images, size, classes, seed)
