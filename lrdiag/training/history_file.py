"""Histories in files: CSV as `keras.callbacks.CSVLogger` writes it, and JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from lrdiag.errors import DataError

_SEPARATORS = ",;\t|"
_NOT_MEASURED = "NA"  # what `CSVLogger` writes for a figure that an epoch doesn't have


def read_history(path: Path) -> tuple[dict[str, Any], int]:
    """Reads the figures of each epoch from a file.

    Args:
        path: A JSON file with lists by name, or a table with a row of names and one row for each epoch.

    Returns:
        The figures by name, `None` where an epoch has none; and the number of the first epoch, counted from 1.

    Raises:
        DataError: If the file can't be read, or isn't the history of one training run.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        columns = json.loads(text) if text.lstrip().startswith("{") else _table(text)
        epochs = [int(number) for number in columns.get("epoch", ()) if number is not None]
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(getattr(error, "strerror", None) or error)) from error
    first = epochs[0] if epochs else 0  # `CSVLogger` counts from 0
    if epochs != list(range(first, first + len(epochs))):
        raise _unreadable(path, "epochs that are not consecutive, as in the log of several training runs")
    return columns, first + 1


def _table(text: str) -> dict[str, list[str | None]]:
    header = text.partition("\n")[0]
    columns: dict[str, list[str | None]] = {}
    for row in csv.DictReader(io.StringIO(text), delimiter=max(_SEPARATORS, key=header.count)):
        for name, cell in row.items():
            if name:
                columns.setdefault(name, []).append(None if cell in ("", _NOT_MEASURED) else cell)
    return columns


def _unreadable(path: Path, received: str) -> DataError:
    return DataError(
        "The file given as `history` must be the history of one training run, as keras.callbacks.CSVLogger writes it, "
        f"or the same as JSON. Received: {path} ({received})"
    )
