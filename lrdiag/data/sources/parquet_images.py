"""Parquet files with encoded images, as Hugging Face stores them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from lrdiag import limits
from lrdiag.data.fitting import AS_IS, Fitting
from lrdiag.data.listed import ListedImages, digest_of
from lrdiag.data.sources.class_labels import ClassLabels
from lrdiag.data.sources.decoding import Decoded, decode_bytes
from lrdiag.data.sources.encoded import Chunk, ListedParts, reason
from lrdiag.data.sources.libraries import require
from lrdiag.data.sources.places import Place, named
from lrdiag.data.sources.table_files import PARQUET_SUFFIXES, shown
from lrdiag.data.splitting import Part, part_in, parts_to_read
from lrdiag.errors import DataError, LrdiagError
from lrdiag.formats import printable
from lrdiag.progress import Progress
from lrdiag.record.arrays import Dataset

_IMAGES = ("image", "img", "picture", "photo", "jpg", "png", "webp")
_LABELS = ("label", "labels", "class", "target", "cls", "category", "fine_label")
_BYTES_AT_ONCE = 2**23  # of encoded images


@dataclass(frozen=True)
class Columns:
    """Where images and labels are, if their names don't tell.

    Attributes:
        image: The column of the images, or the suffix of their members in a tar file. `None` detects it.
        label: The column of the labels, or the field of their JSON in a tar file. `None` detects it.
    """

    image: str | None = None
    label: str | None = None


DETECTED = Columns()


@dataclass(frozen=True)
class ParquetImages:
    """Images that are stored in Parquet files, with a column of labels.

    An image is a struct with the field `bytes`, as Hugging Face stores it, or binary. The names of the classes are
    those in the metadata of Hugging Face. Otherwise labels are numbers from 0, or names, which are sorted. Files are a
    single one, those of a folder or its folder `data`, or those of a pattern. If their names contain `train`, `test` or
    `validation`, they are these parts. Row groups are read one by one. This needs pyarrow.

    Attributes:
        place: The files.
        fitting: Size and channels of the images.
        columns: The columns.
    """

    place: Place
    fitting: Fitting = AS_IS
    columns: Columns = DETECTED

    @staticmethod
    def reads(place: Place) -> bool:
        """Returns whether `place` contains data of this kind."""
        files = place.files(PARQUET_SUFFIXES)
        return bool(files) and any(_is_image(field) for field in _Shard.of(files[0]).schema)

    @property
    def name(self) -> str:
        """The name of the folder or file."""
        return named(self.place)

    def load(self, progress: Progress, *, test_only: bool = False) -> Dataset:
        """Reads all images, or only the test images.

        Raises:
            DataError: If a file is damaged or has other columns, or a label is not among the classes.
        """
        return self._listed(test_only=test_only).load(progress, test_only=test_only)

    def listed(self, progress: Progress) -> ListedImages:
        """Returns the test images, which are not read yet.

        Raises:
            DataError: As `load`.
        """
        return self._listed(test_only=True).listed()

    def _listed(self, *, test_only: bool) -> ListedParts:
        source = f"the Parquet files {self.place.shown}"
        shards = parts_of(self.place.files(PARQUET_SUFFIXES))
        wanted = parts_to_read(shards, source, test_only=test_only)
        opened = {part: [_Shard.of(place) for place in places] for part, places in shards.items()}
        every = [shard for part in opened.values() for shard in part]
        image, label = _columns(every[0], self.columns)
        for shard in every:
            shard.require(image, label)
        names = _names_of_huggingface(every[0].schema, label)
        classes = ClassLabels(names) if names else ClassLabels.of(_labels(every, label))
        parts = {part: _Rows(opened[part], image, label, classes) for part in wanted}
        return ListedParts(self.name, source, [printable(name) for name in classes.names], parts, self.fitting)


def parts_of(files: Sequence[Place]) -> Mapping[Part, list[Place]]:
    """Returns the files of each part that their names tell, or all as `"whole"`.

    Example:
        >>> list(parts_of([Place("train-0.tar"), Place("test-0.tar")])), list(parts_of([Place("a.tar")]))
        (['train', 'test'], ['whole'])
    """
    parts: dict[Part, list[Place]] = {}
    for file in files:
        told = part_in(file.name.split(".")[0])
        parts.setdefault(told[0] if told else "whole", []).append(file)
    if "whole" in parts or (len(parts) == 1 and "test" not in parts):
        return {"whole": list(files)}
    return parts


class _Shard(NamedTuple):
    place: Place
    schema: Any
    rows: int

    @classmethod
    def of(cls, place: Place) -> _Shard:
        """Reads the footer of a file."""
        with _open(place) as file:
            limits.TABLE_COLUMNS.require(len(file.schema_arrow.names), _described(place))
            for index in range(file.metadata.num_row_groups):
                limits.ROW_GROUP_BYTES.require(file.metadata.row_group(index).total_byte_size, _described(place))
            return cls(place, file.schema_arrow, file.metadata.num_rows)

    def require(self, image: str, label: str) -> None:
        missing = [name for name in (image, label) if name not in self.schema.names]
        if missing:
            raise DataError(
                f"All Parquet files of a set must have the same columns. Received: {self.place.shown} with "
                f"{shown(self.schema.names)}, without {' and '.join(map(printable, missing))}. Leave it out, or write "
                "it again"
            )


@dataclass(frozen=True)
class _Rows:
    """The rows of several files, as `EncodedImages`."""

    shards: Sequence[_Shard]
    image: str
    label: str
    classes: ClassLabels

    def __len__(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def digest(self) -> str:
        return digest_of(self.image, self.label, *((shard.place.name, shard.rows) for shard in self.shards))

    def chunks(self, start: int, stop: int, length: int) -> Iterator[Chunk]:
        for shard, end in zip(self.shards, accumulate(shard.rows for shard in self.shards), strict=True):
            first = end - shard.rows
            if start < end and first < stop:
                yield from self._of_shard(shard, max(start - first, 0), min(stop - first, shard.rows), length)

    def _of_shard(self, shard: _Shard, start: int, stop: int, length: int) -> Iterator[Chunk]:
        with _open(shard.place) as file:
            first = 0
            for index in range(file.metadata.num_row_groups):
                group = file.metadata.row_group(index)
                end = first + group.num_rows
                if first < stop and start < end:
                    bytes_of_row = max(1, group.total_byte_size // max(1, group.num_rows))
                    at_once = max(1, min(length, _BYTES_AT_ONCE // bytes_of_row))
                    batches = file.iter_batches(at_once, row_groups=[index], columns=[self.image, self.label])
                    yield from self._of_batches(shard.place, batches, first, range(start, stop))
                first = end

    def _of_batches(self, place: Place, batches: Any, first: int, wanted: range) -> Iterator[Chunk]:
        for batch in batches:
            rows = range(max(first, wanted.start), min(first + batch.num_rows, wanted.stop))
            if rows:
                yield self._chunk(place, batch.slice(rows.start - first, len(rows)), rows)
            first += batch.num_rows
            if first >= wanted.stop:
                return

    def _chunk(self, place: Place, batch: Any, rows: range) -> Chunk:
        images = [_content(image) for image in batch.column(self.image).to_pylist()]
        wheres = [f"row {row + 1:,} of {place.shown}" for row in rows]
        labels = [
            self.classes.index(_label(label, where), where)
            for label, where in zip(batch.column(self.label).to_pylist(), wheres, strict=True)
        ]
        names = [image.path or f"{place.name}, row {row + 1}" for image, row in zip(images, rows, strict=True)]
        contents = [image.content for image in images]
        return Chunk(names, np.array(labels, np.int64), _Contents(contents), sum(map(len, contents)))


class _Image(NamedTuple):
    content: bytes
    path: str | None


@dataclass(frozen=True)
class _Contents:
    """Decodes images in memory."""

    contents: Sequence[bytes]

    def __call__(self, place: int) -> Decoded:
        return decode_bytes(self.contents[place])


def _content(image: Any) -> _Image:
    """Returns the content of an image, which is empty if there is none, and its path."""
    path = None
    if isinstance(image, dict):
        image, path = image["bytes"], image.get("path")
    return _Image(image or b"", path if isinstance(path, str) and path else None)


def _label(label: Any, where: str) -> int | str:
    if isinstance(label, bytes):
        label = label.decode("utf-8", "replace")
    if isinstance(label, str | int) and not isinstance(label, bool):
        return label
    raise DataError(f"Each image needs a label, a name or an integer. Received: {label!r:.80} in {where}. Fill it in")


def _labels(shards: Sequence[_Shard], label: str) -> Iterator[int | str]:
    """Yields the different labels of each batch, and reads no images."""
    for shard in shards:
        with _open(shard.place) as file:
            first = 1
            for batch in file.iter_batches(columns=[label]):
                for value in batch.column(label).unique().to_pylist():
                    yield _label(value, f"rows {first:,} to {first + batch.num_rows - 1:,} of {shard.place.shown}")
                first += batch.num_rows


def _columns(shard: _Shard, asked: Columns) -> tuple[str, str]:
    """Returns the names of the columns of images and labels."""
    images = [field.name for field in shard.schema if _is_image(field)]
    others = [field.name for field in shard.schema if field.name not in images]
    features = _features(shard.schema)
    tagged = [name for name in others if isinstance(features.get(name), dict) and "names" in features[name]]
    image = _chosen(asked.image, images, _IMAGES, [])
    label = _chosen(asked.label, others, _LABELS, tagged)
    for option, kind, found in (("--image-column", "images", image), ("--label-column", "labels", label)):
        if found is None:
            raise DataError(
                f"Parquet files of images must have a column of {kind}"
                f"{', binary or a struct with the field `bytes`' if kind == 'images' else ''}. Name it with {option}. "
                f"Received: {shard.place.shown} with the columns {shown(shard.schema.names)}"
            )
    return str(image), str(label)


def _chosen(asked: str | None, present: Sequence[str], usual: Sequence[str], tagged: Sequence[str]) -> str | None:
    if asked is not None:
        return asked if asked in present else None
    by_name = {name.lower(): name for name in present}
    found = [by_name[name] for name in usual if name in by_name]
    if found:
        return found[0]
    if len(tagged) == 1:
        return tagged[0]
    return present[0] if len(present) == 1 else None


def _is_image(field: Any) -> bool:
    types = require("pyarrow", "pyarrow", "A Parquet file").types
    stored = field.type
    if types.is_struct(stored):
        return any(stored.field(index).name == "bytes" for index in range(stored.num_fields))
    return bool(types.is_binary(stored) or types.is_large_binary(stored))


def _features(schema: Any) -> Mapping[str, Any]:
    """Returns the features in the metadata of Hugging Face, if there are any."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def _names_of_huggingface(schema: Any, label: str) -> list[str]:
    feature = _features(schema).get(label)
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


@contextmanager
def _open(place: Place) -> Iterator[Any]:
    parquet = require("pyarrow.parquet", "pyarrow", "A Parquet file")
    try:
        with place.open() as raw, parquet.ParquetFile(raw, pre_buffer=False, buffer_size=2**20) as file:
            yield file
    except LrdiagError:
        raise
    except Exception as error:  # pyarrow raises its own errors, and so do the packages of fsspec
        raise DataError(
            f"A Parquet file must be complete. Received: {place.shown}: {reason(error)}. Write it again"
        ) from error


def _described(place: Place) -> str:
    return f"The Parquet file {place.shown}"
