"""Tables as CSV that no spreadsheet runs: text from outside may begin like a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import TextIO

# A formula is at the beginning of a cell. Programs of other languages separate cells by semicolons or tabs, and do not
# see the quotes of a cell that follows a comma. Some of them read full-width signs as the usual ones.
_FORMULA = re.compile(r"^(?=[\t\r\n])|(^|[;\t\r\n])(?=[^\S\t\r\n]*[=+\-@＝＋－＠])")


def to_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a table as CSV. An apostrophe is put before text that a spreadsheet would run as a formula.

    Example:
        >>> to_csv(["class"], [["=1+1"], ["a;=1+1"], ["a-b"]]).split()
        ['class', "'=1+1", "a;'=1+1", 'a-b']

    Args:
        header: The names of the columns.
        rows: The cells of each row: text, numbers or `None`.
    """
    text = io.StringIO()
    write_rows(text, header, rows)
    return text.getvalue()


def write_rows(file: TextIO, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a table to a file that is open for text, row by row, as `to_csv` returns it."""
    table = csv.writer(file, lineterminator="\r\n")
    table.writerow([_disarmed(cell) for cell in header])
    table.writerows([_disarmed(cell) for cell in row] for row in rows)


def _disarmed(cell: object) -> object:
    return _FORMULA.sub(lambda found: f"{found[1] or ''}'", cell) if isinstance(cell, str) else cell
