"""What is known of each image besides its label: a table that a user gives, joined with the images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from lrdiag.diagnosis.metadata_table import MetadataTable, Value, cell, read_metadata
from lrdiag.errors import DataError, did_you_mean
from lrdiag.formats import encodable, plural, printable, short
from lrdiag.record.data_facts import Groups
from lrdiag.record.image_table import Part


@dataclass(frozen=True)
class Metadata:
    """Columns of the images, in the order of their sets. A value is `None` if it is not known.

    Attributes:
        test: The columns of the test images, by name.
        train: The columns of the training images; empty if the table has no row for them, or if they are not known.
    """

    test: dict[str, list[Value]]
    train: dict[str, list[Value]] = field(default_factory=dict)


class Images(Protocol):
    """A set of images, or a sample of it, such as an `ImageTable`."""

    @property
    def size(self) -> int:
        """Number of images in the set."""

    @property
    def indices(self) -> np.ndarray:
        """Their places in the set."""

    @property
    def files(self) -> Sequence[str]:
        """The file of each image of the sample, or empty."""


@dataclass(frozen=True)
class WholeSet:
    """A set of which only the number of images and their files are known."""

    size: int
    files: Sequence[str] = ()

    @property
    def indices(self) -> np.ndarray:
        """The places of all images."""
        return np.arange(self.size)


def joined(table: MetadataTable, test: Images, train: Images | None) -> Metadata:
    """Joins a table with the images.

    Rows belong to images by the column `file` (a file, or the end of its path) or by the column `index` (the place in
    the set, from 0). Without both, by their order, if there are as many rows as test images. A column `split` or `set`
    says which rows belong to the training set.

    Args:
        table: The table.
        test: The test images.
        train: The training images, or a sample of them, or `None`.

    Raises:
        DataError: If rows do not belong to images, or not to one alone.
    """
    rows = _Rows(table)
    known = rows.places("test", test)
    if known is None or not (known >= 0).any():
        raise rows.belong_to_none(test)
    columns = _columns_at(table, known)
    places = None if train is None else rows.places("train", train)
    return Metadata(columns, {} if places is None or not (places >= 0).any() else _columns_at(table, places))


@dataclass(frozen=True)
class GivenGroups:
    """The groups of images that a user gave: a column of the metadata, or the groups of both sets.

    Attributes:
        column: Name of the column, or `None`.
        train: The groups of the training images, if there is no column.
        test: Those of the test images.
    """

    column: str | None = None
    train: tuple[Value, ...] = ()
    test: tuple[Value, ...] = ()

    def __str__(self) -> str:
        return self.column or "given for each image"

    @classmethod
    def of(cls, given: str | Sequence[Any] | GivenGroups, table: MetadataTable | None) -> GivenGroups:
        """Converts the name of a column, or a pair `(groups of the training images, groups of the test images)`.

        Groups that were read already are returned as they are.

        Raises:
            DataError: If it is something else, or there is no such column.
        """
        if isinstance(given, GivenGroups):
            return given
        if isinstance(given, str):
            _require_column(encodable(given), table)
            return cls(encodable(given))
        if not isinstance(given, Sequence) or len(given) != 2 or any(isinstance(each, str) for each in given):
            raise DataError(
                "`groups` must be the name of a column of the metadata, or a pair: (groups of the training images, "
                f"groups of the test images). Received: {given!r:.80}"
            )
        train, test = (tuple(map(cell, values)) for values in given)
        return cls(None, train, test)

    def of_images(self, metadata: Metadata | None, test: Images, train: Images | None) -> Groups:
        """Returns the group of each image.

        Args:
            metadata: The metadata, if the groups are a column of it.
            test: The test images.
            train: The training images, or `None`.

        Raises:
            DataError: If there isn't one group for each image.
        """
        if self.column is not None:
            columns = metadata or Metadata({})
            return Groups(*(_as_groups(each.get(self.column, [])) for each in (columns.test, columns.train)))
        _require_one_each(self.test, len(self.test) == test.size, plural(test.size, "test image"))
        if train is not None:  # perhaps only the first of them were read
            _require_one_each(self.train, len(self.train) >= train.size, plural(train.size, "training image"))
        return Groups(_as_groups(self.test), _as_groups(self.train))


def read_given(metadata: Any, groups: Any) -> tuple[MetadataTable | None, GivenGroups | None]:
    """Reads what a user gave as `metadata` and `groups`.

    Raises:
        DataError: If it can't be used.
    """
    table = None if metadata is None else read_metadata(metadata)
    return table, None if groups is None else GivenGroups.of(groups, table)


def _require_column(name: str, table: MetadataTable | None) -> None:
    if table is None:
        raise DataError(
            "`groups` names a column of the metadata. Give the table as `metadata`, or give the groups as "
            "(groups of the training images, groups of the test images). "
            f"Received: {name!r} without metadata"
        )
    if name not in table.described:
        raise DataError(
            "`groups` must name a column of the metadata. "
            f"Received: {name!r}, and the columns {table.names}{did_you_mean(name, table.described)}"
        )


def _require_one_each(groups: Sequence[Value], fits: bool, images: str) -> None:
    if not fits:
        raise DataError(
            "`groups` must have one group for each image: (groups of the training images, groups of the test images). "
            f"Received: {plural(len(groups), 'group')} for {images}"
        )


def _as_groups(values: Sequence[Value]) -> list[str]:
    return ["" if each is None else each if isinstance(each, str) else f"{each:.15g}" for each in values]


def _columns_at(table: MetadataTable, places: np.ndarray) -> dict[str, list[Value]]:
    """The columns of the images whose rows are at `places`, with `None` at −1."""
    return {
        name: [values[place] if place >= 0 else None for place in places] for name, values in table.described.items()
    }


class _Rows:
    """The rows of a table, and which images they belong to."""

    def __init__(self, table: MetadataTable) -> None:
        self._table = table
        split = table.split
        self._parts = None if split is None else [_part(value, table.source) for value in split]
        if self._parts is not None and "test" not in self._parts:  # the callback evaluates validation images
            self._parts = ["test" if part == "validation" else part for part in self._parts]

    def places(self, part: Part, images: Images) -> np.ndarray | None:
        """Returns the row of each image of a set, −1 without one; `None` if no row says that it belongs to the set."""
        rows = np.arange(len(self._table))
        if self._parts is not None:
            rows = np.flatnonzero([each == part for each in self._parts])
        if self._table.file is not None:
            return self._by_file(self._table.file, rows, images)
        if self._parts is None and part == "train":
            return None
        if self._table.index is not None:
            return self._by_index(self._table.index, rows, images, is_partial=part == "train")
        if part == "train":  # perhaps only the first of them were read
            return rows[: images.size] if len(rows) >= images.size else None
        return rows if len(rows) == images.size else None

    def _by_file(self, files: Sequence[Value], rows: np.ndarray, images: Images) -> np.ndarray | None:
        places = np.full(images.size, -1)
        if not images.files:
            return None
        index = _Files(images)
        for row in rows:
            for place in index.of(str(files[row]), self._table.source):
                if places[place] >= 0:
                    raise DataError(
                        "An image must have one row in the metadata. "
                        f"Received: {short(str(files[row]))!r} twice in {self._table.source}"
                    )
                places[place] = row
        return places

    def _by_index(self, indices: Sequence[Value], rows: np.ndarray, images: Images, *, is_partial: bool) -> np.ndarray:
        places = np.full(images.size, -1)
        for row in rows:
            value = indices[row]
            if is_partial and isinstance(value, float) and value >= images.size:
                continue
            if not isinstance(value, float) or value != int(value) or not 0 <= value < images.size:
                raise DataError(
                    f"`index` in the metadata must be the place of an image, from 0 to {images.size - 1}. "
                    f"Received: {value!r} in {self._table.source}"
                )
            if places[int(value)] >= 0:
                raise DataError(
                    "An image must have one row in the metadata. "
                    f"Received: the index {int(value)} twice in {self._table.source}"
                )
            places[int(value)] = row
        return places

    def belong_to_none(self, images: Images) -> DataError:
        """Why no row belongs to a test image."""
        table = self._table
        if table.file is None:
            return DataError(
                "Metadata needs a column `file` or `index`, or one row for each test image, in their order. "
                f"Received: {plural(len(table), 'row')} for {plural(images.size, 'test image')} in {table.source}, "
                f"with the columns {table.names}"
            )
        example = f"{short(str(next(iter(table.file), '')))!r} in {table.source}"
        if not images.files:
            return DataError(
                "The files of the test images are not known. Give them as `files`, or name the images of the metadata "
                f"by a column `index`. Received: {example}"
            )
        return DataError(
            "The column `file` of the metadata must contain the names of the test images, or the ends of their paths. "
            f"Received: {example}, and {short(images.files[0])!r} as the first test image"
        )


class _Files:
    """Finds images by a name or by the end of a path."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._paths = [_path(file) for file in images.files]
        self._rows: dict[str, list[int]] = {}
        for row, path in enumerate(self._paths):
            self._rows.setdefault(path[-1], []).append(row)

    def of(self, file: str, source: str) -> list[int]:
        """Returns the place of the image that a name belongs to, or an empty list.

        Raises:
            DataError: If it belongs to several.
        """
        wanted = _path(file)
        found = [row for row in self._rows.get(wanted[-1], []) if _agree(self._paths[row], wanted)]
        exact = [row for row in found if self._paths[row] == wanted]
        found = exact or found
        if len(found) > 1:
            first, second = (short(self._images.files[row]) for row in found[:2])
            raise DataError(
                "A file in the metadata must belong to one image. Write more of its path. "
                f"Received: {short(file)!r} in {source}, which is {first!r} and {second!r}"
            )
        return [int(self._images.indices[row]) for row in found]


def _path(file: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[\\/]+", printable(file.strip())) if part not in ("", ".")) or ("",)


def _agree(path: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one of two paths is the end of the other."""
    shorter = min(len(path), len(other))
    return path[-shorter:] == other[-shorter:]


def _part(value: Value, source: str) -> str:
    from lrdiag.data.splitting import part_named  # slow to import

    part = part_named(str(value))
    if part is None:
        raise DataError(f"`split` in the metadata must be train, val or test. Received: {value!r:.80} in {source}")
    return part
