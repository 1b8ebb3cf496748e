"""A table of image files and their labels, as CSV or Parquet."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lrdiag.data.fitting import AS_IS, Fitting
from lrdiag.data.listed import ListedImages
from lrdiag.data.sources.encoded import ListedParts
from lrdiag.data.sources.image_files import LabelledFiles
from lrdiag.data.sources.table_files import (
    CSV_SUFFIXES,
    PARQUET_SUFFIXES,
    csv_rows,
    parquet_columns,
    parquet_names,
    require_utf_8,
    shown,
)
from lrdiag.data.splitting import Part, part_named, parts_to_read
from lrdiag.errors import DataError
from lrdiag.formats import printable
from lrdiag.progress import Progress
from lrdiag.record.arrays import Dataset

_COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path"),
    "label": ("label", "class", "target"),
    "split": ("split",),
}
_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class ImageTable:
    r"""Images that a CSV or Parquet table lists, with the columns `path`, `label` and optionally `split`.

    `path` may be called `file`, `filename`, `image` and so on, and `label` may be called `class` or `target`. Relative
    paths start from the folder of the table. Backslashes of Windows may separate folders. Labels are names or integers.
    The classes are sorted, integers by value. `split` contains `train`, `val` or `test`. Without it, images are divided
    into 80 % training and 20 % test images. `lrdiag.data.sources.encoded.ImageStream` describes how files are read.
    Parquet needs pyarrow.

    Example:
        ```python
        Path("flowers.csv").write_text("path,label\nphotos/1.jpg,daisy\nphotos/2.jpg,rose\n…")
        dataset = ImageTable(Path("flowers.csv")).load(Silence())
        ```

    Attributes:
        path: The table.
        fitting: Size and channels of the images.
    """

    path: Path
    fitting: Fitting = AS_IS

    @staticmethod
    def reads(path: Path) -> bool:
        """Returns whether `path` contains data of this kind."""
        return path.suffix.lower() in (*CSV_SUFFIXES, *PARQUET_SUFFIXES) and os.path.isfile(path)

    @property
    def name(self) -> str:
        """The name of the file."""
        return printable(self.path.stem)

    def load(self, progress: Progress, *, test_only: bool = False) -> Dataset:
        """Reads all images, or only the test images.

        Raises:
            DataError: If the table has another format, a row is incomplete, or a class has no training images.
        """
        return self._listed(test_only=test_only).load(progress, test_only=test_only)

    def listed(self, progress: Progress) -> ListedImages:
        """Returns the test images, which are not read yet.

        Raises:
            DataError: If the table has another format, or a row is incomplete.
        """
        return self._listed(test_only=True).listed()

    def _listed(self, *, test_only: bool) -> ListedParts:
        source = f"the table {printable(str(self.path))}"
        rows = list(self._rows(source))
        if not rows:
            raise DataError(f"A table must list images. Received: {source} without rows")
        classes = _sorted({row.label for row in rows})
        numbers = {label: number for number, label in enumerate(classes)}
        wanted = parts_to_read({row.part for row in rows}, source, test_only=test_only)
        folder = self.path.parent
        files = {part: _files([row for row in rows if row.part == part], numbers, folder) for part in wanted}
        names = [printable(label) for label in classes]
        return ListedParts(self.name, source, names, files, self.fitting)

    def _rows(self, source: str) -> Iterator[_Row]:
        read = _read_csv if self.path.suffix.lower() in CSV_SUFFIXES else _read_parquet
        try:
            for number, cells in read(self.path, source):
                yield _row(cells, f"row {number:,} of {source}")
        except DataError:
            raise
        except Exception as error:  # pyarrow raises its own errors
            raise DataError(
                f"A table must be readable, as CSV in UTF-8 or as Parquet. Received: {source}: {error}. Save it again"
            ) from error


class _Row(NamedTuple):
    path: str
    label: str
    part: Part


def _read_csv(path: Path, source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number of each row, counted as in a spreadsheet, and its cells by the keys of `_COLUMNS`."""
    rows = csv_rows(path)
    header = next(rows, [])
    places = {meaning: header.index(column) for meaning, column in _columns(header, source).items()}
    for number, row in enumerate(rows, 2):
        if any(cell.strip() for cell in row[len(header) :]):
            raise DataError(
                "Each row must have as many cells as the header. Quote cells that contain the delimiter. "
                f"Received: {len(row)} cells instead of {len(header)} in row {number:,} of {source}"
            )
        if any(cell.strip() for cell in row):
            cells = {meaning: "".join(row[place : place + 1]) for meaning, place in places.items()}
            if not (cells["path"].isascii() or (path.parent / cells["path"]).is_file()):
                require_utf_8([cells["path"]], path)  # the name of a file may be something else
            require_utf_8([cell for meaning, cell in cells.items() if meaning != "path"], path)
            yield number, cells


def _read_parquet(path: Path, source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number of each row, counted from 1, and its cells by the keys of `_COLUMNS`."""
    columns = _columns(parquet_names(path), source)
    table = parquet_columns(path, list(columns.values()))
    for number, row in enumerate(zip(*table.values(), strict=True), 1):
        yield number, dict(zip(columns, row, strict=True))


def _columns(header: Sequence[str], source: str) -> dict[str, str]:
    """Returns the names of the columns `path`, `label` and, if it exists, `split`."""
    names = {name.strip().lower(): name for name in header}
    found = {
        meaning: next(names[name] for name in choice if name in names)
        for meaning, choice in _COLUMNS.items()
        if not names.keys().isdisjoint(choice)
    }
    if not {"path", "label"} <= found.keys():
        raise DataError(
            f"A table must have a column of paths ({', '.join(_COLUMNS['path'])}) and a column of labels "
            f"({', '.join(_COLUMNS['label'])}). Received: the columns {shown(header)} in {source}. Rename them"
        )
    return found


def _row(cells: dict[str, Any], where: str) -> _Row:
    path, label, split = cells["path"], cells["label"], cells.get("split")
    if not isinstance(path, str) or not path.strip():
        raise DataError(f"Each row of a table needs a path, as text. Received: {path!r:.80} in {where}. Fill it in")
    if not isinstance(label, str | int) or not str(label).strip():
        raise DataError(
            f"Each row of a table needs a label, a name or an integer. Received: {label!r:.80} in {where}. Fill it in"
        )
    part = part_named(str(split)) if "split" in cells else "whole"
    if part is None:
        raise DataError(f"`split` must be train, val or test. Received: {split!r:.80} in {where}. Fill it in")
    return _Row(path.strip(), str(label).strip(), part)


def _with_slashes(path: str, folder: Path) -> str:
    """Converts a path of Windows, unless a file has backslashes in its name."""
    return path if "\\" not in path or (folder / path).is_file() else path.replace("\\", "/")


def _files(rows: Sequence[_Row], numbers: dict[str, int], folder: Path) -> LabelledFiles:
    labels = np.array([numbers[row.label] for row in rows], np.int64)
    return LabelledFiles(folder, [_with_slashes(row.path, folder) for row in rows], labels)


def _sorted(labels: set[str]) -> list[str]:
    return sorted(labels, key=int) if all(map(_INTEGER.fullmatch, labels)) else sorted(labels)
