"""From the settings of a run to its data: choose a source, read it, limit it, hold out the validation images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from lrdiag.data.cifar10 import Cifar10
from lrdiag.data.digits import Digits
from lrdiag.data.image_folder import ImageFolder
from lrdiag.data.sampling import hold_out_validation, subset
from lrdiag.errors import DataUnavailable, SettingsError
from lrdiag.progress import Progress
from lrdiag.records import Dataset, LabelledImages
from lrdiag.settings import Settings

VALIDATION_FRACTION = 0.1


class Source(Protocol):
    """Where images come from."""

    @property
    def name(self) -> str:
        """What the data is called in the report."""

    def load(self, progress: Progress) -> Dataset:
        """Reads every image."""


def load_dataset(settings: Settings, progress: Progress) -> Dataset:
    """Reads the data that `settings` ask for and divides it into training, validation and test images.

    A tenth of the training images, after any limit, is held out for validation. Where no data is asked for and
    CIFAR-10 cannot be had, the digits of scikit-learn stand in, and `fallback` says why.

    Example:
        >>> from lrdiag.progress import Silence
        >>> dataset = load_dataset(Settings(data="digits", limit_train=500, limit_test=100), Silence())
        >>> len(dataset.train), len(dataset.validation), len(dataset.test)
        (450, 50, 100)

    Args:
        settings: `data`, `data_dir`, `limit_train`, `limit_test` and `seed` are read.
        progress: Is told of each stage, and warned where the digits stand in.

    Returns:
        The dataset, with `validation` set.

    Raises:
        SettingsError: If `data` names neither a source nor a folder.
        DataUnavailable: If CIFAR-10 was asked for by name and cannot be had.
        DataError: If the data is broken or too small for the limits.
    """
    dataset = _load_or_fall_back(settings, progress)
    train = _limit(dataset.train, settings.limit_train, dataset.classes, settings.seed)
    test = _limit(dataset.test, settings.limit_test, dataset.classes, settings.seed)
    return hold_out_validation(replace(dataset, train=train, test=test), VALIDATION_FRACTION, settings.seed)


def _load_or_fall_back(settings: Settings, progress: Progress) -> Dataset:
    if settings.data is not None:
        return _source(settings.data, settings.data_dir).load(progress)
    try:
        return Cifar10(settings.data_dir).load(progress)
    except DataUnavailable as error:
        progress.warn(f"{error}\nUntil then, this run uses the digits of scikit-learn instead.")
        reason = str(error).partition("\n")[0]
        return replace(Digits().load(progress), fallback=reason)


def _source(data: str, data_dir: Path | None) -> Source:
    sources: dict[str, Source] = {"cifar10": Cifar10(data_dir), "digits": Digits()}
    if data in sources:
        return sources[data]
    folder = Path(data).expanduser()
    if not folder.is_dir():
        raise SettingsError(
            f"`data` must be {', '.join(sources)}, or an existing folder that holds train/<class>/ and "
            f"test/<class>/. Received: {data!r}, and there is no such folder"
        )
    return ImageFolder(folder)


def _limit(images: LabelledImages, size: int | None, classes: tuple[str, ...], seed: int) -> LabelledImages:
    return images if size is None else subset(images, size, classes, seed)
