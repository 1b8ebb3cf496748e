"""The table of all predictions: CSV for spreadsheets, Parquet for many images."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lrdiag.formats import encodable
from lrdiag.record import folder as run_folder
from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import Diagnosis

MOST_IN_CSV = 100_000
"""Images whose predictions are written as CSV. Those of more are written as Parquet, if pyarrow is installed."""
_AT_ONCE = 50_000
"""Images of a row group, and of the rows that are in memory at once."""
_COLUMNS = ("index", "true", "predicted", "correct", "confidence", "loss", "file")


def predictions_file(diagnosis: Diagnosis) -> str:
    """Returns the name of the file that has the predictions of a run, or will have them when it is saved."""
    for name in (run_folder.PREDICTIONS_OF_MANY, run_folder.PREDICTIONS):
        if name in diagnosis.files:
            return name
    return _name(diagnosis.test.size)


def _name(images: int) -> str:
    is_parquet = images > MOST_IN_CSV and find_spec("pyarrow") is not None
    return run_folder.PREDICTIONS_OF_MANY if is_parquet else run_folder.PREDICTIONS


def write_predictions(folder: Path, classes: Sequence[str], predictions: Predictions, files: Sequence[str]) -> None:
    """Writes the prediction of every image, a part at a time.

    Args:
        folder: The folder to write to.
        classes: Name of each class.
        predictions: The predictions.
        files: File of each image, or empty.
    """
    path = folder / _name(len(predictions.labels))
    parts = _parts(predictions, files)
    if path.name == run_folder.PREDICTIONS_OF_MANY:
        _write_parquet(path, classes, parts)
    else:
        run_folder.write_csv(path, _COLUMNS, (row for part in parts for row in _rows(classes, part)))


def _parts(predictions: Predictions, files: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yields index, true class, predicted class, confidence and loss as arrays, and the files, of some images."""
    columns = (predictions.labels, predictions.predicted, predictions.confidence, predictions.losses)
    for start in range(0, len(predictions.labels), _AT_ONCE):
        part = [column[start : start + _AT_ONCE] for column in columns]
        yield np.arange(start, start + len(part[0])), *part, files[start : start + _AT_ONCE]


def _rows(classes: Sequence[str], part: tuple[Any, ...]) -> Iterator[tuple[object, ...]]:
    *columns, files = part
    lists = (column.tolist() for column in columns)
    for index, true, predicted, confidence, loss, file in zip(*lists, files or [""] * len(columns[0]), strict=True):
        yield index, classes[true], classes[predicted], int(true == predicted), confidence, loss, file


def _write_parquet(path: Path, classes: Sequence[str], parts: Iterator[tuple[Any, ...]]) -> None:
    arrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    names = arrow.array([encodable(name) for name in classes], arrow.string())
    writer = None
    with run_folder.replacing(path) as temporary:
        try:
            for index, true, predicted, confidence, loss, files in parts:
                of_class = [
                    arrow.DictionaryArray.from_arrays(arrow.array(each, arrow.int32()), names)
                    for each in (true, predicted)
                ]
                given = (
                    arrow.array([encodable(file) for file in files], arrow.string())
                    if files
                    else arrow.nulls(len(index), arrow.string())
                )
                columns = [index, *of_class, true == predicted, confidence, loss, given]
                table = arrow.table(dict(zip(_COLUMNS, columns, strict=True)))
                writer = writer or parquet.ParquetWriter(temporary, table.schema)
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()
