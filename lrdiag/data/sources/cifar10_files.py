"""Reads the official Python files of CIFAR-10: five training batches, one test batch and the class names.

A batch is a pickled dictionary: `data` is a `uint8` array of shape `(n, 3072)`, each row an image channel by channel.
`labels` is a list of `n` integers. See https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import io
import pickle
import reprlib
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lrdiag import limits
from lrdiag.data.sources.unpickling import load_arrays
from lrdiag.errors import DataError
from lrdiag.formats import printable
from lrdiag.progress import Progress, Stage
from lrdiag.record.arrays import NO_IMAGES, Dataset, LabelledImages

TRAINING_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
META = "batches.meta"
FILES = (*TRAINING_BATCHES, TEST_BATCH, META)

_ADVICE = "Download CIFAR-10 again from https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"


def read_folder(folder: Path, progress: Progress, *, test_only: bool = False) -> Dataset:
    """Reads the extracted folder `cifar-10-batches-py`.

    Example:
        ```python
        dataset = read_folder(Path("cifar-10-batches-py"), Silence())
        dataset.train.images.shape  # (50000, 32, 32, 3)
        ```

    Args:
        folder: Contains the seven `FILES`.
        progress: The listener.
        test_only: Whether to skip the training batches.

    Returns:
        Images of shape `(n, 32, 32, 3)`, `uint8`, in the order of the files.

    Raises:
        DataError: If a file is missing, truncated or of another format.
    """
    wanted = _wanted(test_only)
    return _read(_files_of_folder(folder, wanted), wanted, folder, progress)


def read_archive(path: Path, progress: Progress, *, test_only: bool = False) -> Dataset:
    """Reads `cifar-10-python.tar.gz` without extracting it. Arguments and errors are those of `read_folder`.

    Example:
        ```python
        dataset = read_archive(Path("cifar-10-python.tar.gz"), Silence())
        ```
    """
    wanted = _wanted(test_only)
    return _read(_files_of_archive(path, wanted), wanted, path, progress)


def _wanted(test_only: bool) -> Sequence[str]:
    return (TEST_BATCH, META) if test_only else FILES


def _read(files: Iterable[tuple[str, IO[bytes]]], wanted: Sequence[str], where: Path, progress: Progress) -> Dataset:
    try:
        with progress.stage("Reading CIFAR-10", len(wanted), "files") as stage:
            return _assemble(files, wanted, where, stage)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{where} is truncated, unreadable or not a gzipped tar: {error}. {_ADVICE}") from error


def _files_of_folder(folder: Path, wanted: Sequence[str]) -> Iterator[tuple[str, IO[bytes]]]:
    for name in wanted:
        if (folder / name).is_file():
            limits.BATCH_BYTES.require((folder / name).stat().st_size, f"{name} of CIFAR-10")
            with (folder / name).open("rb") as file:
                yield name, file


def _files_of_archive(path: Path, wanted: Sequence[str]) -> Iterator[tuple[str, IO[bytes]]]:
    # Seeking backwards in a gzip file is slow, so members are read in the order of the archive.
    with tarfile.open(path, "r|gz", tarinfo=_SmallFile) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            file = archive.extractfile(member) if name in wanted and member.isfile() else None
            if file is not None:
                limits.BATCH_BYTES.require(member.size, f"{name} of CIFAR-10")  # extended headers change the size
                yield name, file


class _SmallFile(tarfile.TarInfo):
    """The header of a file in an archive. Python reads long names at once, so their size is checked too."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _SmallFile:
        """Reads a header, and raises if it declares a file that is too large."""
        header = super().frombuf(buf, encoding, errors)
        limits.BATCH_BYTES.require(header.size, f"{printable(header.name):.80} in the archive of CIFAR-10")
        return header


def _assemble(files: Iterable[tuple[str, IO[bytes]]], wanted: Sequence[str], where: Path, stage: Stage) -> Dataset:
    training, test, contents_of_meta = _Rows(len(TRAINING_BATCHES), where), _Rows(1, where), None
    seen = set()
    for name, file in files:
        contents = _unpickle(file, f"{name} in {where}")
        if name == META:
            contents_of_meta = contents
        elif name == TEST_BATCH:
            test.put(0, *_batch(contents, f"{name} in {where}"))
        else:
            training.put(TRAINING_BATCHES.index(name), *_batch(contents, f"{name} in {where}"))
        seen.add(name)
        stage.advance()
    missing = [name for name in wanted if name not in seen]
    if missing:
        raise DataError(f"CIFAR-10 has {len(FILES)} files. Received: {where} without {', '.join(missing)}. {_ADVICE}")
    classes = _class_names(contents_of_meta, f"{META} in {where}", len(test.images))
    source = "the official Python files of CIFAR-10 (Krizhevsky, 2009)"
    train = training.labelled() if len(training.images) else NO_IMAGES
    return Dataset("CIFAR-10", source, classes, train, test.labelled())


class _Rows:
    """Batches of equal size, each written to its final place, so that no image is in memory twice."""

    def __init__(self, batches: int, where: Path) -> None:
        self.batches, self.where = batches, where
        self.images = np.empty((0, 32, 32, 3), np.uint8)
        self.labels = np.empty(0, np.int64)

    def put(self, number: int, rows: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> None:
        if not len(self.images):
            self.images = np.empty((self.batches * len(rows), 32, 32, 3), np.uint8)
            self.labels = np.empty(len(self.images), np.int64)
        if self.batches * len(rows) != len(self.images):
            raise DataError(
                f"The training batches of CIFAR-10 must be of one size. Received: {len(self.images) // self.batches} "
                f"and {len(rows)} images in {self.where}. {_ADVICE}"
            )
        place = slice(number * len(rows), (number + 1) * len(rows))
        self.images[place] = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        self.labels[place] = labels

    def labelled(self) -> LabelledImages:
        return LabelledImages(self.images, self.labels)


def _unpickle(file: IO[bytes], what: str) -> dict[str, Any]:
    try:
        contents = load_arrays(io.BytesIO(file.read()))
    except pickle.UnpicklingError as error:
        raise DataError(f"{what} is truncated, damaged or of another format: {error}. {_ADVICE}") from error
    if not isinstance(contents, dict):
        raise DataError(f"{what} must contain a dictionary. Received: {type(contents).__name__}. {_ADVICE}")
    return {key.decode("utf-8", "replace") if isinstance(key, bytes) else key: contents[key] for key in contents}


def _batch(contents: dict[str, Any], what: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    rows, labels = contents.get("data"), contents.get("labels")
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3072:
        received = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise DataError(f"`data` of {what} must be a uint8 array of shape (n, 3072). Received: {received}. {_ADVICE}")
    if not isinstance(labels, list) or not all(type(label) is int and abs(label) < 2**31 for label in labels):
        raise DataError(f"`labels` of {what} must be a list of integers. Received: {_some(labels)}. {_ADVICE}")
    if not 0 < len(rows) == len(labels):
        raise DataError(
            f"{what} must contain one label per image, and at least one. "
            f"Received: {len(rows)} images and {len(labels)} labels. {_ADVICE}"
        )
    return rows, np.array(labels, np.int64)


def _some(value: object) -> str:
    """Returns the beginning of a value: lists within lists may be endless."""
    return reprlib.repr(value)[:80]


def _class_names(contents: dict[str, Any] | None, what: str, rows: int) -> tuple[str, ...]:
    contents = contents or {}
    names, promised = contents.get("label_names"), contents.get("num_cases_per_batch", rows)
    if not isinstance(names, list) or not all(isinstance(name, (str, bytes)) for name in names):
        raise DataError(f"`label_names` of {what} must be a list of names. Received: {_some(names)}. {_ADVICE}")
    if promised != rows:
        raise DataError(f"{what} declares {_some(promised)} images per batch. Received: {rows}. {_ADVICE}")
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names)
