"""Reads a table of metadata: a file, a dictionary of columns, or a data frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from lrdiag.errors import DataError, did_you_mean_file
from lrdiag.formats import count, encodable, printable

Value = str | float | None
"""A cell: text, a number, or nothing."""

_CSV, _PARQUET = (".csv", ".tsv"), (".parquet", ".pq")
_FILE = ("file", "path", "filename", "file_name", "filepath", "file_path", "image", "image_path")
_INDEX = ("index",)
_NAMES_SHOWN = 20  # in a message
_SPLIT = ("split", "set")


@dataclass(frozen=True)
class MetadataTable:
    """A table with one row for each image.

    Attributes:
        columns: The cells of each column, by its name. All columns have the same length.
        source: Where it comes from, in words.
    """

    columns: dict[str, list[Value]]
    source: str

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def __str__(self) -> str:
        return f"{', '.join(self.described)} of {self.source}"

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.columns)

    @property
    def file(self) -> list[Value] | None:
        """The file of each row, or `None`."""
        return self._called(_FILE)

    @property
    def index(self) -> list[Value] | None:
        """The place of each row's image in its set, or `None`."""
        return self._called(_INDEX)

    @property
    def split(self) -> list[Value] | None:
        """The set of each row, or `None`."""
        return self._called(_SPLIT)

    @property
    def described(self) -> dict[str, list[Value]]:
        """The columns that describe the images, by name."""
        joining = (*_FILE, *_INDEX, *_SPLIT)
        return {name: values for name, values in self.columns.items() if name.strip().lower() not in joining}

    def _called(self, names: Sequence[str]) -> list[Value] | None:
        by_name = {name.strip().lower(): values for name, values in self.columns.items()}
        return next((by_name[name] for name in names if name in by_name), None)


def read_metadata(given: str | PathLike[str] | Mapping[str, Iterable[Any]] | Any) -> MetadataTable:
    """Reads a table of metadata.

    Example:
        >>> read_metadata({"index": [0, 1], "site": ["north", None], "age": [41, 7.5]}).described
        {'site': ['north', None], 'age': [41.0, 7.5]}

    Args:
        given: The path of a CSV or Parquet file, a dictionary of columns, or a data frame. Parquet needs pyarrow. A
            table that was read already is returned as it is.

    Raises:
        DataError: If it is something else, can't be read, or its columns differ in length.
    """
    if isinstance(given, MetadataTable):
        return given
    if isinstance(given, str | PathLike):
        path = Path(given)
        columns, source = _read_file(path), f"the table {printable(str(path))}"
    elif isinstance(given, Mapping):
        columns, source = {str(name): list(values) for name, values in given.items()}, "the dictionary"
    elif hasattr(given, "columns") and hasattr(given, "__getitem__"):
        columns, source = {str(name): list(given[name]) for name in given.columns}, "the data frame"
    else:
        raise DataError(
            "`metadata` must be the path of a CSV or Parquet file, a dictionary of columns, or a data frame. "
            f"Received: {type(given).__name__}"
        )
    shown = [f"{name:.80} ({count(len(each))})" for name, each in columns.items()][:_NAMES_SHOWN]
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1 or not max(lengths):
        raise DataError(
            "`metadata` must have columns of the same length, with one row for each image. "
            f"Received: {', '.join(shown) or 'no column'}"
        )
    table = MetadataTable({encodable(name): _cells(values) for name, values in columns.items()}, source)
    if not table.described:
        raise DataError(
            "`metadata` must have a column besides those that name the images. "
            f"Received: the columns {table.names[:_NAMES_SHOWN]} in {source}"
        )
    return table


def _read_file(path: Path) -> dict[str, list[Any]]:
    suffix = path.suffix.lower()
    if suffix not in (*_CSV, *_PARQUET):
        raise DataError(f"`metadata` must be a CSV or Parquet file: {', '.join((*_CSV, *_PARQUET))}. Received: {path}")
    if not path.is_file():
        raise DataError(f"`metadata` must be a file that exists. Received: {path}{did_you_mean_file(path)}")
    try:
        return _read_csv(path) if suffix in _CSV else _read_parquet(path)
    except DataError:
        raise
    except Exception as error:  # pyarrow raises its own errors
        raise DataError(
            f"`metadata` must be readable, as CSV in UTF-8 or as Parquet. Received: {path}: {error}"
        ) from error


def _read_csv(path: Path) -> dict[str, list[Any]]:
    from lrdiag.data.sources.table_files import csv_rows, require_utf_8  # slow to import

    header, *rows = [row for row in csv_rows(path) if any(cell.strip() for cell in row)] or [[]]
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise DataError(
                "Each row of the metadata must have as many cells as the header. Quote cells that contain the "
                f"delimiter. Received: {len(row)} cells instead of {len(header)} in row {number:,} of {path}"
            )
    require_utf_8(header, path)
    columns = {name.strip(): [row[place].strip() for row in rows] for place, name in enumerate(header)}
    for name, cells in columns.items():
        if name.lower() not in _FILE:  # the name of a file may be something else
            require_utf_8(cells, path)
    return columns


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    from lrdiag.data.sources.table_files import parquet_columns  # slow to import

    return parquet_columns(path)


def _cells(values: Sequence[Any]) -> list[Value]:
    """The cells of a column: numbers if all of them are numbers, else text."""
    cells = [cell(value) for value in values]
    numbers: list[Value] = [_number(each) if isinstance(each, str) else each for each in cells]
    if all(number is not None for number, each in zip(numbers, cells, strict=True) if each is not None):
        return numbers
    return [f"{each:.15g}" if isinstance(each, float) else each for each in cells]


def cell(value: Any) -> Value:
    """A value of any library as text, a number, or `None` if it is missing."""
    value = value.item() if hasattr(value, "item") and not getattr(value, "shape", ()) else value
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    return encodable(str(value)).strip() or None


def _number(text: str) -> float | None:
    """The number that a text is; `None` for others, and for numbers with leading zeros, which are names."""
    digits = text.lstrip("+-")
    if digits[:1] == "0" and digits[1:2].isdigit():
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
