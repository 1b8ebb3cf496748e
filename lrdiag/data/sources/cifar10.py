"""CIFAR-10, from disk, from Keras's cache, or downloaded."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lrdiag.data.fitting import AS_IS, Fitting, fit_all, notes_on
from lrdiag.data.listed import ListedImages, listed_dataset
from lrdiag.data.sources.cifar10_files import read_archive, read_folder
from lrdiag.data.sources.download import download, keras_home
from lrdiag.errors import DataError, DataUnavailable
from lrdiag.progress import Progress
from lrdiag.record.arrays import Dataset

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
MEGABYTES = 170

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"

# Names that `keras.datasets.cifar10.load_data` of Keras 3 and of Keras 2 uses, and lrdiag's.
_CACHED_FOLDERS = (FOLDER, f"{FOLDER}-target/{FOLDER}")
_CACHED_ARCHIVES = (ARCHIVE, f"{FOLDER}-target_archive", f"{FOLDER}.tar.gz")


@dataclass(frozen=True)
class Cifar10:
    """CIFAR-10: 60,000 colour images of 32 × 32 pixels in 10 classes (Krizhevsky, 2009).

    It is read from `data_dir` or Keras's cache. If it is in neither, it is downloaded to the cache.

    Example:
        ```python
        dataset = Cifar10(Path("~/data").expanduser()).load(Silence())
        ```

    Attributes:
        data_dir: A folder that contains `cifar-10-batches-py/` or `cifar-10-python.tar.gz`, or the former itself.
        fitting: Size and channels of the images.
    """

    data_dir: Path | None = None
    fitting: Fitting = AS_IS
    name = "CIFAR-10"

    def load(self, progress: Progress, *, test_only: bool = False) -> Dataset:
        """Reads the 50,000 training images, unless `test_only`, and the 10,000 test images.

        Raises:
            DataError: If the files in `data_dir` are broken or of another format.
            DataUnavailable: If CIFAR-10 isn't on disk and can't be downloaded.
        """
        dataset = self._read(progress, test_only)
        notes = notes_on([dataset.train, dataset.test], self.fitting)
        train, test = (fit_all(part, self.fitting) for part in (dataset.train, dataset.test))
        return replace(dataset, train=train, test=test, notes=tuple(notes))

    def listed(self, progress: Progress) -> ListedImages:
        """Returns the test images. All are read at once, because they are few."""
        return listed_dataset(self.load(progress, test_only=True))

    def _read(self, progress: Progress, test_only: bool) -> Dataset:
        if self.data_dir is not None:
            given = _find(Path(os.path.expanduser(self.data_dir)))
            if given is not None:
                read = read_folder if given.is_dir() else read_archive
                return read(given, progress, test_only=test_only)
            progress.warn(f"{self.data_dir} contains neither {FOLDER} nor {ARCHIVE}. Looking for CIFAR-10 elsewhere.")
        cached = next(_cached(progress, test_only), None)
        return cached or read_archive(self._download(progress), progress, test_only=test_only)

    def _download(self, progress: Progress) -> Path:
        try:
            return download(URL, SHA256, progress, title=self.name, megabytes=MEGABYTES)
        except OSError as error:
            raise DataUnavailable(
                f"CIFAR-10 is not on disk and cannot be downloaded: {error}.",
                f"Download {URL} on a machine with a network, and pass the folder that contains it as --data-dir or "
                "LRDIAG_DATA_DIR. Or use data that needs no download: --data digits.",
            ) from error


def on_disk(data_dir: Path | None) -> bool:
    """Returns whether CIFAR-10 seems to be in `data_dir` or in Keras's cache. The files are not read."""
    if data_dir is not None and _find(Path(os.path.expanduser(data_dir))) is not None:
        return True
    return any((keras_home() / "datasets" / name).exists() for name in (*_CACHED_FOLDERS, *_CACHED_ARCHIVES))


def _find(folder: Path) -> Path | None:
    if (folder / FOLDER).is_dir():
        return folder / FOLDER
    if (folder / ARCHIVE).is_file():
        return folder / ARCHIVE
    return folder if (folder / "batches.meta").is_file() else None


def _cached(progress: Progress, test_only: bool) -> Iterator[Dataset]:
    """Yields each complete copy in Keras's cache. Partial downloads and extractions are skipped."""
    cache = keras_home() / "datasets"
    for folder in (cache / name for name in _CACHED_FOLDERS):
        if folder.is_dir():
            with contextlib.suppress(DataError):
                yield read_folder(folder, progress, test_only=test_only)
    for archive in (cache / name for name in _CACHED_ARCHIVES):
        if archive.is_file() and _sha256(archive) == SHA256:
            yield read_archive(archive, progress, test_only=test_only)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
