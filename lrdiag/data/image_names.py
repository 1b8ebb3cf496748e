"""The file of each evaluated image: those that a user names, and those that data carries."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lrdiag.errors import DataError
from lrdiag.formats import count, encodable

_AGREEMENT = 0.5  # Cohen's kappa; in random order it is 0


def files_carried_by(data: Any) -> tuple[str, ...]:
    """Returns the file of each image that data carries, in its own order, or an empty tuple.

    Args:
        data: Such as what `keras.utils.image_dataset_from_directory` or `flow_from_directory` returns.
    """
    for name in ("file_paths", "filenames"):
        files = getattr(data, name, None)
        if isinstance(files, Sequence | np.ndarray) and not isinstance(files, str):
            return tuple(str(file) for file in files)
    return ()


def given_files(
    files: Sequence[Any], labels: np.ndarray, class_names: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the files that a user gave, and notes about them.

    Args:
        files: The files.
        labels: The true classes of the images, integers of shape `(n,)`.
        class_names: Name of each class, or `None`.

    Raises:
        DataError: If there isn't one file for each image, or the folders contradict the labels.
    """
    if len(files) not in (0, len(labels)):
        raise DataError(
            f"`files` must name one file for each image. Received: {len(files)} names for {len(labels)} images"
        )
    names = tuple(str(file) for file in files)
    known, told = _told_by_folders(names, class_names)
    wrong = np.flatnonzero(known & (told != labels)) if names else np.empty(0, int)
    shown = tuple(map(encodable, names))
    if not len(wrong):
        return shown, ()
    found = f"Files in the folder of another class than their label: {count(len(wrong))} of {count(len(names))}"
    if _kappa(told[known], labels[known]) < _AGREEMENT:
        first = wrong[0]
        raise DataError(
            "`files` must be in the order of the images, and `class_names` in the order of the labels. Build a dataset "
            f"with shuffle=False. {found}. Received: first {shown[first]!r} with the label "
            f"{list(class_names or ())[labels[first]]!r}"
        )
    return shown, (f"{found}.",)


def carried_files(
    data: Any, labels: np.ndarray, class_names: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the files that data carries if they belong to the images, and notes about them.

    The order is that of the images if a generator of Keras says that it doesn't shuffle, or if the folder of each file
    has the name of its class.

    Args:
        data: The data.
        labels: The true classes of the images, integers of shape `(n,)`.
        class_names: Name of each class, or `None`.
    """
    files = files_carried_by(data)
    if len(files) < len(labels):
        return (), ()
    names = files[: len(labels)]
    known, told = _told_by_folders(names, class_names)
    if (known & (told != labels)).any():
        return (), (
            "File names are left out: their folders contradict the labels, so the data is not in the order of its "
            "files. Build it with shuffle=False.",
        )
    if known.all() or getattr(data, "shuffle", None) is False:
        return tuple(map(encodable, _below_common_folder(names))), ()
    return (), ()


def _told_by_folders(files: Sequence[str], class_names: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns which files are in the folder of a class, and the class: arrays of `bool` and `int64`.

    If all are in one folder, it says nothing about classes.
    """
    indices = {name: index for index, name in enumerate(class_names or ())}
    told = np.full(len(files), -1)
    for place, file in enumerate(files):
        folders = reversed(re.split(r"[\\/]", file)[:-1])
        told[place] = next((indices[folder] for folder in map(encodable, folders) if folder in indices), -1)
    known = told >= 0
    return (known if len(np.unique(told[known])) > 1 else np.zeros_like(known)), told


def _kappa(told: np.ndarray, labels: np.ndarray) -> float:
    """Cohen's kappa: 1 if all classes agree, 0 if no more do than by chance."""
    classes = int(max(told.max(), labels.max())) + 1
    shares = [np.bincount(each, minlength=classes) / len(each) for each in (told, labels)]
    by_chance = float(shares[0] @ shares[1])
    return (float((told == labels).mean()) - by_chance) / max(1 - by_chance, np.finfo(float).eps)


def _below_common_folder(files: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the files relative to the folder that contains the folders of all classes."""
    if not all(os.path.isabs(file) for file in files):
        return files
    folders = {os.path.dirname(file) for file in files}
    common = os.path.commonpath([*folders]) if len(folders) > 1 else os.path.dirname(next(iter(folders)))
    return tuple(os.path.relpath(file, common) for file in files)
