"""A `.npz` file of images and labels."""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lrdiag import limits
from lrdiag.data.fitting import AS_IS, Fitting, Sizes, fit_all
from lrdiag.data.listed import ArrayStream, ListedImages, digest_of, require_labels
from lrdiag.data.splitting import Part, assemble, parts_to_read, source_of
from lrdiag.errors import DataError, LrdiagError
from lrdiag.formats import printable
from lrdiag.progress import Progress
from lrdiag.record.arrays import Dataset, LabelledImages

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_ENDS_OF_LOCAL_HEADER = struct.Struct("<26x2H")  # of a member of a zip archive: lengths of its name and of what follows
_NPY = np.lib.format.MAGIC_PREFIX
MAX_CLASSES = 100_000  # higher labels are not class numbers

_NAMES_SHOWN = 20  # in a message

_WORDS: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
# Names of the images and labels of each part, in Keras's datasets and in others.
_NAMES: dict[Part, list[tuple[str, str]]] = {
    part: [
        pair
        for word in words
        for pair in ((f"x_{word}", f"y_{word}"), (f"{word}_images", f"{word}_labels"), (f"{word}_x", f"{word}_y"))
    ]
    for part, words in _WORDS.items()
}
_NAMES["whole"] = [("x", "y"), ("images", "labels")]
_LAYOUT = (
    "A .npz file must contain x_train, y_train, x_test and y_test (and optionally x_val and y_val), or x and y alone"
)


@dataclass(frozen=True)
class ImageArrays:
    """Images in a `.npz` file: `x_train`, `y_train`, `x_test`, `y_test`, and optionally `x_val`, `y_val`.

    `x` and `y` alone are divided into 80 % training and 20 % test images. The names `train_images`, `train_labels` and
    so on, and `images` and `labels`, are accepted too. Images are `uint8` of shape `(n, height, width)`,
    `(n, height, width, 1)` or `(n, height, width, 3)`. Labels are integers from 0, of shape `(n,)` or `(n, 1)`,
    one-hot, or text. An optional array `class_names` contains the names of the classes. Without it, classes that are
    text are sorted.

    Example:
        ```python
        np.savez("flowers.npz", x_train=..., y_train=..., x_test=..., y_test=..., class_names=["daisy", "rose"])
        dataset = ImageArrays(Path("flowers.npz")).load(Silence())
        ```

    Attributes:
        path: The file.
        fitting: Size and channels of the images.
    """

    path: Path
    fitting: Fitting = AS_IS

    @staticmethod
    def reads(path: Path) -> bool:
        """Returns whether `path` contains data of this kind."""
        return path.suffix.lower() == ".npz" and os.path.isfile(path)

    @property
    def name(self) -> str:
        """The name of the file."""
        return printable(self.path.stem)

    def load(self, progress: Progress, *, test_only: bool = False) -> Dataset:
        """Reads all images, or only the test images.

        Raises:
            DataError: If the file or its arrays have another format.
        """
        source = self._source
        with self._open() as file:
            arrays = _Arrays(file, source)
            pairs = arrays.pairs()
            wanted = parts_to_read(pairs, source, test_only=test_only)
            labels, classes = arrays.all_labels(pairs)
            parts: dict[Part, LabelledImages] = {}
            sizes = Sizes()
            with progress.stage("Reading images", len(wanted), "arrays") as stage:
                for part in wanted:
                    images = LabelledImages(arrays.images(pairs[part][0]), labels[part].numbers)
                    sizes.add(images.images.shape[1:], self.fitting.size, len(images))
                    parts[part] = fit_all(images, self.fitting)
                    stage.advance()
        return assemble(self.name, source, classes, parts, test_only=test_only, notes=self.fitting.notes(sizes))

    def listed(self, progress: Progress) -> ListedImages:
        """Returns the test images. They are not read yet, unless the file is compressed.

        Raises:
            DataError: If the file or its arrays have another format.
        """
        with self._open() as file:
            arrays = _Arrays(file, self._source)
            pairs = arrays.pairs()
            (part,) = parts_to_read(pairs, self._source, test_only=True)
            labels, classes = arrays.all_labels(pairs)
            require_labels(
                labels[part].numbers, classes, lambda place: f"image {place:,} in {pairs[part][1]} of {self._source}"
            )
            images = LabelledImages(arrays.mapped_images(pairs[part][0], self.path), labels[part].numbers)
        return ListedImages(
            self.name,
            source_of(self._source, pairs, test_only=True),
            classes,
            range(len(images)),
            partial(ArrayStream, images, self.fitting),
            self.fitting,
            digest_of(images.images.shape, images.labels, *classes),
        )

    @property
    def _source(self) -> str:
        return f"the file {printable(str(self.path))}"

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with ExitStack() as stack:
            file, reason = None, "it contains a single array"
            try:
                raw = stack.enter_context(self.path.open("rb"))  # NumPy leaves a damaged file open
                if raw.read(len(_NPY)) != _NPY:  # NumPy would read a single array at once
                    raw.seek(0)
                    file = np.load(raw, allow_pickle=False)
                    limits.require_sound_archive(file.zip, f"The file {printable(str(self.path))}")
            except LrdiagError:
                raise
            except Exception as error:  # a damaged file can raise anything
                file, reason = None, str(error)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(
                    f"A .npz file must be written by numpy.savez. Received: {printable(str(self.path))}: {reason}. "
                    "Write it again"
                )
            yield stack.enter_context(file)


@dataclass(frozen=True)
class _Labels:
    """The class of each image, `int64` of shape `(n,)`, and the smallest possible number of classes."""

    numbers: npt.NDArray[np.int64]
    classes: int


class _Arrays:
    """The arrays of an open file, by name in upper or lower case. Each is read on request."""

    def __init__(self, file: Any, source: str) -> None:
        self._file, self._source = file, source
        self._names = {name.lower(): name for name in file}

    def pairs(self) -> dict[Part, tuple[str, str]]:
        """Returns the names of the images and labels of each part in the file."""
        found = {}
        for part, alternatives in _NAMES.items():
            present = [pair for pair in alternatives if any(name in self._names for name in pair)]
            if len(present) > 1:
                raise DataError(
                    "A .npz file must contain each part once. "
                    f"Received: {self._source} with {' and '.join('/'.join(pair) for pair in present)}. Remove one"
                )
            if present:
                found[part] = present[0]
        held = [printable(name) for name in sorted(self._names.values())[:_NAMES_SHOWN]]
        missing = [name for pair in found.values() for name in pair if name not in self._names]
        if missing or not found:
            lack = f", which lacks {' and '.join(missing)}" if missing else ""
            raise DataError(f"{_LAYOUT}. Received: {self._source} with {held}{lack}")
        return found

    def images(self, name: str) -> npt.NDArray[np.uint8]:
        return self._checked(self._read(name), name)

    def mapped_images(self, name: str, path: Path) -> npt.NDArray[np.uint8]:
        """Returns images as a memory map, or reads them if they are compressed."""
        with self._explained(name):
            _require_array(self._file.zip, self._names[name])
            mapped = _memory_map(self._file.zip, self._names[name], path)
        return self.images(name) if mapped is None else self._checked(mapped, name)

    def all_labels(self, pairs: Mapping[Part, tuple[str, str]]) -> tuple[dict[Part, _Labels], list[str]]:
        """Returns the labels of each part and the names of the classes."""
        texts = self.texts([name for _, name in pairs.values()])
        labels = {part: self.labels(name, texts) for part, (_, name) in pairs.items()}
        return labels, texts or self.classes(list(labels.values()))

    def _checked(self, images: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
        if images.dtype != np.uint8:
            raise DataError(
                f"Images must be stored as uint8, from 0 to 255. Received: {images.dtype} in {name} of {self._source}. "
                "Save np.rint(255 * x).astype('uint8') if their values are 0 to 1, x.astype('uint8') if they are 0 to "
                "255"
            )
        if images.ndim not in (3, 4) or images.shape[3:] not in ((), (1,), (3,)) or 0 in images.shape[1:]:
            raise DataError(
                "Images must have the shape (n, height, width), (n, height, width, 1) or (n, height, width, 3). "
                f"Received: {images.shape} in {name} of {self._source}. Save them in this form"
            )
        return images if images.ndim == 4 else images[..., np.newaxis]

    def texts(self, names: Sequence[str]) -> list[str]:
        """Returns the classes if labels are text: `class_names`, or the labels, sorted. Empty if they are numbers."""
        texts = {label for name in names for label in _text(self._read(name))}
        return self.classes([]) if texts and "class_names" in self._names else sorted(texts)

    def labels(self, name: str, texts: Sequence[str]) -> _Labels:
        labels = self._read(name)
        if texts:
            numbers = {text: number for number, text in enumerate(texts)}
            unknown = [label for label in _text(labels) if label not in numbers]
            if unknown or labels.dtype.kind not in "US":
                raise DataError(
                    "Labels that are text must be so in each part, and be among `class_names` if there are any. "
                    f"Received: {unknown[0] if unknown else labels.dtype} in {name} of {self._source}"
                )
            return _Labels(np.array([numbers[label] for label in _text(labels)], np.int64), len(texts))
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if _is_one_hot(labels):
            return _Labels(labels.argmax(axis=1).astype(np.int64), labels.shape[1])
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise DataError(
                "Labels must be integers of shape (n,) or (n, 1), or one-hot of shape (n, classes). "
                f"Received: {labels.dtype} of shape {labels.shape} in {name} of {self._source}. Save them in this form"
            )
        classes = int(labels.max(initial=0)) + 1
        if classes > MAX_CLASSES:
            raise DataError(
                "Labels must be the numbers of classes, counted from 0 without gaps. "
                f"Received: {classes - 1} in {name} of {self._source}. Number the classes"
            )
        return _Labels(labels.astype(np.int64), classes)

    def classes(self, labels: Sequence[_Labels]) -> list[str]:
        if "class_names" not in self._names:
            return [str(number) for number in range(max(each.classes for each in labels))]
        names = self._read("class_names")
        if names.ndim != 1 or names.dtype.kind not in "US":
            raise DataError(
                "`class_names` must be a list of text. "
                f"Received: {names.dtype} of shape {names.shape} in {self._source}. Save them in this form"
            )
        return _text(names)

    def _read(self, name: str) -> npt.NDArray[Any]:
        with self._explained(name):
            _require_array(self._file.zip, self._names[name])
            array: npt.NDArray[Any] = self._file[self._names[name]]
        return array

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except LrdiagError:
            raise
        except Exception as error:  # a damaged file can raise anything
            raise DataError(
                f"The arrays of a .npz file must be complete, and contain numbers or text. Received: {name} of "
                f"{self._source}: {error}. Write it again"
            ) from error


def _require_array(archive: zipfile.ZipFile, name: str) -> None:
    """Raises unless a member is an array that is exactly as long as its header declares."""
    member = _member(archive, name)
    with archive.open(member) as file:
        read_header = _HEADERS[np.lib.format.read_magic(file)]
        shape, _, dtype = read_header(file)
        held = member.file_size - file.tell()
    declared = math.prod(shape) * dtype.itemsize
    limits.ARRAY_BYTES.require(declared, f"The array {printable(name)}")
    if dtype.hasobject or declared != held:
        raise ValueError(f"it declares {shape} of {dtype}, which are {declared:,} bytes, and holds {held:,}")


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    return archive.getinfo(name if name in archive.namelist() else f"{name}.npy")


def _memory_map(archive: zipfile.ZipFile, name: str, path: Path) -> npt.NDArray[Any] | None:
    """Returns a member as a memory map, or `None` if it is compressed."""
    member = _member(archive, name)
    if member.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(member.header_offset)
        name_length, extra_length = _ENDS_OF_LOCAL_HEADER.unpack(file.read(_ENDS_OF_LOCAL_HEADER.size))
        file.seek(name_length + extra_length, os.SEEK_CUR)
        shape, is_fortran, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
        start = file.tell()
    if not math.prod(shape):  # nothing can be mapped
        return None
    return np.memmap(path, dtype, "r", start, shape, "F" if is_fortran else "C")


def _text(labels: npt.NDArray[Any]) -> list[str]:
    """Returns labels as text, or nothing if they are numbers."""
    if labels.dtype.kind not in "US":
        return []
    decoded = (label.decode("utf-8", "replace") if isinstance(label, bytes) else label for label in labels.ravel())
    return [printable(label) for label in decoded]


def _is_one_hot(labels: npt.NDArray[Any]) -> bool:
    if labels.ndim != 2 or labels.dtype.kind not in "biuf":
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())
