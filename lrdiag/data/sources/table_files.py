"""Reads CSV and Parquet files row by row and column by column, within the limits of `lrdiag.limits`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any

from lrdiag import limits
from lrdiag.data.sources.libraries import require
from lrdiag.errors import DataError
from lrdiag.formats import printable

CSV_SUFFIXES = (".csv", ".tsv")
PARQUET_SUFFIXES = (".parquet", ".pq")

_DELIMITERS = ",;\t"
_NAMES_SHOWN = 20


def csv_rows(path: Path) -> Iterator[list[str]]:
    """Yields the rows of a CSV file in UTF-8, whose first line shows the delimiter: a comma, semicolon or tab.

    Bytes that are not UTF-8 become lone surrogates, as in file names. Use `require_utf_8` for everything else.

    Raises:
        DataError: If the file, a line or the number of columns is too large.
    """
    what = _described(path)
    limits.TABLE_BYTES.require(path.stat().st_size, what)
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        lines = _lines(file, what)
        first = next(lines, "")
        delimiter = max(_DELIMITERS, key=first.count)
        most = limits.TABLE_COLUMNS.value
        for row in csv.reader(chain([first], lines), delimiter=delimiter):
            if len(row) > most:
                limits.TABLE_COLUMNS.require(len(row), what)
            yield row


def _lines(file: IO[str], what: str) -> Iterator[str]:
    longest = limits.TABLE_LINE.value
    while line := file.readline(longest + 1):
        if len(line) > longest:
            limits.TABLE_LINE.require(len(line), what)
        yield line


def require_utf_8(cells: Iterable[str], path: Path) -> None:
    """Raises if text contains bytes that are not UTF-8."""
    try:
        "".join(cells).encode()
    except UnicodeEncodeError as error:
        received = printable(str(error.object)[max(0, error.start - 20) : error.end + 20])
        where = f"{received!r} in {printable(str(path))}"
        raise DataError(f"A CSV file must be in UTF-8. Save it again. Received: {where}") from error


def parquet_names(path: Path) -> list[str]:
    """Returns the names of the columns of a Parquet file."""
    names: list[str] = _parquet().read_schema(path).names
    limits.TABLE_COLUMNS.require(len(names), _described(path))
    return names


def parquet_columns(path: Path, names: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Reads columns of a Parquet file, or all.

    Raises:
        DataError: If they are too large.
    """
    parquet, what, present = _parquet(), _described(path), parquet_names(path)
    wanted = present if names is None else names
    metadata = parquet.read_metadata(path)
    limits.TABLE_ROWS.require(metadata.num_rows, what)
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
    chunks = [chunk for chunk in chunks if names is None or chunk.path_in_schema in wanted]
    limits.TABLE_BYTES.require(sum(chunk.total_uncompressed_size for chunk in chunks), what)
    for place in range(metadata.num_columns):
        limits.TABLE_CELL.require(metadata.schema.column(place).length or 0, what)
    # Text is read as a dictionary: a long one that each row repeats is in memory once.
    texts = {chunk.path_in_schema for chunk in chunks if chunk.physical_type == "BYTE_ARRAY"}
    table = parquet.read_table(path, columns=None if names is None else [*names], read_dictionary=sorted(texts))
    for name in wanted:
        _require_short_cells(table[name], what)
    return {name: table[name].to_pylist() for name in wanted}


def _require_short_cells(column: Any, what: str) -> None:
    pyarrow = require("pyarrow", "pyarrow", "A Parquet table")
    compute = require("pyarrow.compute", "pyarrow", "A Parquet table")
    for chunk in column.chunks if pyarrow.types.is_dictionary(column.type) else ():
        limits.TABLE_CELL.require(compute.max(compute.binary_length(chunk.dictionary)).as_py() or 0, what)


def _parquet() -> Any:
    return require("pyarrow.parquet", "pyarrow", "A Parquet table")


def _described(path: Path) -> str:
    return f"The table {printable(str(path))}"


def shown(names: Sequence[str]) -> str:
    """Returns the first names of columns, for a message."""
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return f"{[name[:80] for name in names[:_NAMES_SHOWN]]}{more}"
