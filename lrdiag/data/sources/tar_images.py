"""Tar files of images and labels, as WebDataset writes them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from lrdiag import limits
from lrdiag.data.fitting import AS_IS, Fitting
from lrdiag.data.listed import ListedImages, digest_of
from lrdiag.data.sources.class_labels import ClassLabels
from lrdiag.data.sources.decoding import Decoded, decode_bytes
from lrdiag.data.sources.encoded import Chunk, ListedParts
from lrdiag.data.sources.parquet_images import DETECTED, Columns, parts_of
from lrdiag.data.sources.places import Place, lines, named
from lrdiag.data.sources.tar_index import Member, members_of
from lrdiag.data.splitting import parts_to_read
from lrdiag.errors import DataError
from lrdiag.formats import printable
from lrdiag.progress import Progress
from lrdiag.record.arrays import Dataset

TAR_SUFFIXES = (".tar",)
CLASSES = "classes.txt"


@dataclass(frozen=True)
class TarImages:
    """Images in tar files: `KEY.jpg`, `KEY.png` or `KEY.webp` with `KEY.cls` or `KEY.json`, as WebDataset writes them.

    Labels are names, or numbers from 0. A file `classes.txt` in the same folder names the classes, one in each line.
    Otherwise numbers are their own names, and names are sorted. Files are a single one, those of a folder, or those of
    a pattern, such as `shards/test-{000..012}.tar`. If their names contain `train`, `test` or `validation`, they are
    these parts. Nothing is unpacked: one pass over the headers finds the images.

    Attributes:
        place: The files.
        fitting: Size and channels of the images.
        columns: The suffix of the images, and the field of the labels.
    """

    place: Place
    fitting: Fitting = AS_IS
    columns: Columns = DETECTED

    @staticmethod
    def reads(place: Place) -> bool:
        """Returns whether `place` contains data of this kind."""
        return bool(place.files(TAR_SUFFIXES))

    @property
    def name(self) -> str:
        """The name of the folder or file."""
        return named(self.place)

    def load(self, progress: Progress, *, test_only: bool = False) -> Dataset:
        """Reads all images, or only the test images.

        Raises:
            DataError: If a file is damaged, or an image has no label, or one that is not among the classes.
        """
        return self._listed(progress, test_only=test_only).load(progress, test_only=test_only)

    def listed(self, progress: Progress) -> ListedImages:
        """Returns the test images, which are not read yet.

        Raises:
            DataError: As `load`.
        """
        return self._listed(progress, test_only=True).listed()

    def _listed(self, progress: Progress, *, test_only: bool) -> ListedParts:
        source = f"the tar files {self.place.shown}"
        files = self.place.files(TAR_SUFFIXES)
        shards = parts_of(files)
        wanted = parts_to_read(shards, source, test_only=test_only)
        beside = files[0].beside(CLASSES)
        classes = ClassLabels(list(lines(beside))) if beside.is_file else None
        needed = wanted if classes else list(shards)  # without names, the labels of all parts tell the classes
        with progress.stage("Listing images", sum(len(shards[part]) for part in needed), "files") as stage:
            indexed = {}
            for part in needed:
                indexed[part] = [_Shard.of(place, self.columns) for place in shards[part]]
                stage.advance(len(shards[part]))
        every = [shard for part in indexed.values() for shard in part]
        classes = classes or ClassLabels.of(label for shard in every for label in shard.found)
        parts = {part: _Members(indexed[part], classes) for part in wanted}
        if not all(map(len, parts.values())):
            raise DataError(
                f"Tar files must contain images with their labels: KEY.jpg and KEY.cls. Received: {source} without "
                "images. Choose their suffix with --image-column"
            )
        for shard in every:
            shard.require(classes)
        return ListedParts(self.name, source, [printable(name) for name in classes.names], parts, self.fitting)


@dataclass(frozen=True)
class _Shard:
    """The images of a tar file. A million need about 50 MB.

    Attributes:
        place: The file.
        names: Their names in UTF-8, bytes of shape `(n,)`.
        starts: The first byte of each.
        sizes: Number of bytes of each.
        found: The different labels.
        labels: Indices into `found`.
    """

    place: Place
    names: npt.NDArray[np.bytes_]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    found: Sequence[int | str]
    labels: npt.NDArray[np.int64]

    @classmethod
    def of(cls, place: Place, columns: Columns) -> _Shard:
        """Reads the headers of a file."""
        members: list[Member] = list(members_of(place, columns.image, columns.label))
        found = list(dict.fromkeys(member.label for member in members))
        places = {label: index for index, label in enumerate(found)}
        return cls(
            place,
            np.array([member.name.encode("utf-8", "surrogateescape") for member in members], np.bytes_),
            np.array([member.start for member in members], np.int64),
            np.array([member.size for member in members], np.int64),
            found,
            np.array([places[member.label] for member in members], np.int64),
        )

    def __len__(self) -> int:
        return len(self.starts)

    def name(self, index: int) -> str:
        return bytes(self.names[index]).decode("utf-8", "surrogateescape")

    def require(self, classes: ClassLabels) -> None:
        """Raises if a label is not among the classes."""
        for number, label in enumerate(self.found):
            first = int(np.argmax(self.labels == number))
            classes.index(label, f"{printable(self.name(first))} in {self.place.shown}")


@dataclass(frozen=True)
class _Members:
    """The images of several tar files, as `EncodedImages`."""

    shards: Sequence[_Shard]
    classes: ClassLabels

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    @property
    def digest(self) -> str:
        """That of names and labels."""
        return digest_of(*(fact for shard in self.shards for fact in (shard.place.name, shard.names, shard.labels)))

    def chunks(self, start: int, stop: int, length: int) -> Iterator[Chunk]:
        """Yields images, at most `length` at a time. They are read when they are decoded."""
        for shard, end in zip(self.shards, accumulate(map(len, self.shards)), strict=True):
            first = end - len(shard)
            indices = np.array([self.classes.index(label, shard.place.shown) for label in shard.found], np.int64)
            for begin in range(max(start - first, 0), min(stop - first, len(shard)), length):
                places = range(begin, min(begin + length, stop - first, len(shard)))
                names = [shard.name(place) for place in places]
                yield Chunk(names, indices[shard.labels[places.start : places.stop]], _Decoder(shard, places.start))


@dataclass(frozen=True)
class _Decoder:
    shard: _Shard
    first: int

    def __call__(self, place: int) -> Decoded:
        shard, index = self.shard, self.first + place
        size = int(shard.sizes[index])
        if problem := limits.IMAGE_BYTES.excess(size):
            raise ValueError(f"it is too large: {problem}")
        start = int(shard.starts[index])
        return decode_bytes(shard.place.read(start, start + size), os.path.splitext(shard.name(index))[1].lower())
