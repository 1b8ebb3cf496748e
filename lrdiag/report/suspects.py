"""The images whose labels are probably wrong, as a table for the people who annotate them."""

from __future__ import annotations

from typing import Any

from lrdiag.diagnosis.evidence import MISSING
from lrdiag.errors import RunFolderError
from lrdiag.record.data_facts import NOT_STUDIED
from lrdiag.record.facts import Diagnosis

COLUMNS = ("set", "index", "file", "given", "suggested", "score", "reason")


def suspect_rows(diagnosis: Diagnosis) -> list[tuple[Any, ...]]:
    """Returns a row for each suspect, with names of classes, in the order of `COLUMNS`.

    Raises:
        RunFolderError: If the labels were not examined, with the reason.
    """
    suspects, names = diagnosis.data.suspects, diagnosis.dataset.classes
    if suspects is None:
        raise RunFolderError(
            "A run must contain suspects, the images whose labels are probably wrong. Make it again so that its labels "
            f"are examined. Received: a run without suspects: {_why(diagnosis)}"
        )
    return [
        (
            each.image.part,
            each.image.index,
            each.image.file,
            names[each.given],
            None if each.suggested is None else names[each.suggested],
            each.score,
            each.reason,
        )
        for each in suspects
    ]


def suspects_table(diagnosis: Diagnosis) -> Any:
    """Returns the suspects as a `pandas.DataFrame`, or as a list of dictionaries if pandas is not installed.

    Raises:
        RunFolderError: As `suspect_rows` does.
    """
    rows = suspect_rows(diagnosis)
    try:
        from pandas import DataFrame
    except ImportError:
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    return DataFrame(rows, columns=COLUMNS)


def _why(diagnosis: Diagnosis) -> str:
    if diagnosis.data == NOT_STUDIED:
        return "it was made by an older version of lrdiag"
    return diagnosis.data.reasons.get("suspects", MISSING["suspects"])
