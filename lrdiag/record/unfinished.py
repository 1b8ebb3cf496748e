"""The unfinished run of a run folder: what training needs to continue after its process has ended.

It is kept in the folder `unfinished/` until the run is complete. A checkpoint is a file of `lrdiag.record.archive`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lrdiag.errors import RunFolderError
from lrdiag.record import archive
from lrdiag.record.facts import Epoch, Known, NotFinite, TimeSpent
from lrdiag.record.folder import UNFINISHED
from lrdiag.record.observed import Inspection

CHECKPOINT = f"{UNFINISHED}/checkpoint.npz"
"""The checkpoint of `lrdiag train-and-report`."""
CALLBACK_RECORD = f"{UNFINISHED}/record.npz"
"""The record of a `ReportCallback`, without the model."""

_Record = TypeVar("_Record")


@dataclass(frozen=True)
class RunRecord:
    """What a `RunRecorder` knows after an epoch. Its attributes are described there.

    Attributes:
        steps_at_ends: Number of recorded steps at the end of each epoch.
        updates_at_ends: Number of updates that the optimizer had made then.
        weights_at_ends: Fingerprint of the weights at the end of each epoch.
        time: Where the time of each epoch went.
    """

    first_epoch: int
    epochs: list[Epoch]
    learning_rates: list[float]
    momentums: list[float]
    losses: list[float]
    not_finite: NotFinite | None
    earlier_updates: int
    steps_at_ends: list[int]
    updates_at_ends: list[int]
    weights_at_ends: list[bytes]
    time: list[TimeSpent]


@dataclass(frozen=True)
class WatchRecord:
    """What a `Watch` knows after an epoch.

    Attributes:
        inspection: What was observed.
        is_searched: Whether the whole training data was searched for NaN.
        known: When each finding was known first, by its code.
        stop_reason: Why training should stop, in words.
        first_losses: The losses of the first steps.
        limit: The loss that is alarming.
        is_finite: Whether all losses were finite.
    """

    inspection: Inspection
    is_searched: bool
    known: dict[str, Known]
    stop_reason: str | None
    first_losses: list[float]
    limit: float
    is_finite: bool


@dataclass(frozen=True)
class CallbackRecord:
    """What a `ReportCallback` knows after an epoch.

    Attributes:
        shapes: The shapes of the weights of its model.
        run: What it recorded.
        watched: What its watch knows.
        gaps: Sentences on updates that are missing.
    """

    shapes: list[tuple[int, ...]]
    run: RunRecord
    watched: WatchRecord
    gaps: list[str]


@dataclass(frozen=True)
class RandomNumbers:
    """The states of the generators of random numbers.

    Attributes:
        python: That of `random`.
        numpy: That of `numpy.random`.
        keras: The seed of Keras's global generator; `None` if it does not exist yet.
        engine: Those of the engine.
    """

    python: tuple[int, tuple[int, ...], float | None]
    numpy: dict[str, Any]
    keras: list[int] | None
    engine: list[bytes]


@dataclass(frozen=True)
class Plateau:
    """The state of a `ReduceLROnPlateau`; its attributes are described in Keras."""

    best: float | None
    wait: int
    cooldown_counter: int


@dataclass(frozen=True)
class TrainingRecord:
    """The state of a training run at the end of an epoch, without the variables of the model.

    Attributes:
        run: What the recorder knows.
        watched: What the watch knows.
        random: The states of the random numbers.
        plateaus: The state of each `ReduceLROnPlateau`.
        completed_epochs: Number of epochs that were not undone.
        stop_reason: Why training was stopped, in words.
        is_stopped: Whether no other epoch follows.
    """

    run: RunRecord
    watched: WatchRecord
    random: RandomNumbers
    plateaus: list[Plateau]
    completed_epochs: int
    stop_reason: str | None
    is_stopped: bool


# --- files ------------------------------------------------------------------------------------------------------------


def write(file: Path, record: object, arrays: Sequence[np.ndarray] = ()) -> None:
    """Writes a checkpoint. It replaces an earlier one when it is complete and on the disk.

    Args:
        file: The checkpoint. Its folder is created.
        record: A dataclass.
        arrays: Arrays of numbers.

    Raises:
        RunFolderError: If the file cannot be written.
    """
    archive.write(file, record, {str(place): array for place, array in enumerate(arrays)})


def read(file: Path, kind: type[_Record]) -> _Record:
    """Reads the record of a checkpoint.

    Args:
        file: The checkpoint.
        kind: The dataclass. Fields that it does not have are left out.

    Raises:
        RunFolderError: If it is missing, incomplete, or of another kind.
    """
    with _readable(file):
        return archive.read_record(file, kind)


def read_arrays(file: Path, like: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Reads the arrays of a checkpoint.

    Args:
        file: The checkpoint.
        like: Arrays of the shapes and types that it must contain.

    Raises:
        RunFolderError: If it does not contain them, or is incomplete.
    """
    with _readable(file):
        found = archive.read_arrays(file)
        if len(found) != len(like):
            raise ValueError(f"{len(found)} arrays in place of {len(like)}")
        return [_like(found[str(place)], each) for place, each in enumerate(like)]


def discard(folder: Path) -> None:
    """Removes the checkpoint of a run folder, once its run is complete, and what processes that were killed left."""
    for file in (folder / CHECKPOINT, folder / CALLBACK_RECORD):
        for each in (file, *file.parent.glob(f".{file.stem}-*{file.suffix}")):
            each.unlink(missing_ok=True)
    with suppress(OSError):  # it is missing, or has other content
        (folder / UNFINISHED).rmdir()


def _like(array: np.ndarray, other: np.ndarray) -> np.ndarray:
    wanted = archive.storable(other)
    if (array.shape, array.dtype) != (wanted.shape, wanted.dtype):
        raise ValueError(f"{array.dtype} of shape {array.shape} in place of {other.dtype} of shape {other.shape}")
    return array.view(other.dtype)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Explains why a checkpoint cannot be read."""
    try:
        yield
    except archive.UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise RunFolderError(
            f"The checkpoint of the unfinished run cannot be read. Train again, without `--resume`. Received: {file} "
            f"({reason})"
        ) from error
