"""Reading a run folder: its facts and pictures, of this and of older schema versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import msgspec

from lrdiag.errors import RunFolderError, did_you_mean_file
from lrdiag.record import conversion, exchange
from lrdiag.record.contents import foreign_file, not_belonging
from lrdiag.record.documents import PictureIndex, identity, schema_version
from lrdiag.record.facts import SCHEMA_VERSION, Diagnosis, Run
from lrdiag.record.folder import PICTURES, REPORT
from lrdiag.record.pictures import Pictures, Sheet, SheetName

_ATTEMPTS = 3
_READABLE = f"{conversion.OLDEST} to {SCHEMA_VERSION}"


def load(folder: Path) -> Run:
    """Reads a run with its pictures.

    Raises:
        RunFolderError: If the folder contains no run, or one that this version cannot read.
    """
    return load_report(folder / REPORT)


def load_report(report: Path) -> Run:
    """Reads a run from its report.json, and its pictures from beside it.

    Raises:
        RunFolderError: If there is no run, or one that this version cannot read.
    """
    return _undisturbed(report.parent, lambda: _load_report(report))


def _load_report(report: Path) -> Run:
    with _readable(report):
        diagnosis, sheets = _read(report)
        if foreign := foreign_file(report.parent, diagnosis.files):
            raise not_belonging(foreign)
        if sheets is None:
            sheets = _read_index(report.parent / PICTURES, diagnosis)
        files = {sheet.file: (report.parent / _own(sheet.file)).read_bytes() for sheet in sheets.values()}
    return Run(diagnosis, Pictures(sheets, files))


def report_of(path: Path) -> Path:
    """The report.json of a run folder; a file is one itself."""
    return path if path.is_file() else path / REPORT


def require_report(path: Path) -> None:
    """Raises unless there is a run at `path`: a run folder or a report.json. Its content is not read.

    Raises:
        RunFolderError: If there is none.
    """
    report = report_of(path)
    exchange.settle(report.parent)
    with _readable(report):
        report.stat()


def load_baseline(path: Path) -> Run:
    """Reads a run to compare with. Pictures that are not in the folder of its report.json are left out.

    A report.json under another name may lie beside the files of another run. Then it has no pictures.

    Args:
        path: A run folder or a report.json.

    Raises:
        RunFolderError: If there is no run, or one that this version cannot read.
    """
    report = report_of(path)
    return _undisturbed(report.parent, lambda: _load_baseline(report))


def _undisturbed(folder: Path, read: Callable[[], Run]) -> Run:
    """Reads a run, again if another process has exchanged it meanwhile."""
    for _ in range(_ATTEMPTS):
        exchange.settle(folder)
        before = exchange.state(folder)
        try:
            return read()
        except RunFolderError:
            if exchange.state(folder) == before:
                raise
    return read()


def _load_baseline(report: Path) -> Run:
    index = report.parent / PICTURES
    with _readable(report):
        diagnosis, sheets = _read(report)
        if foreign := foreign_file(report.parent, diagnosis.files):
            if report.name == REPORT:
                raise not_belonging(foreign)
            return Run(diagnosis, Pictures())
        if sheets is None:
            sheets = _read_index(index, diagnosis, others=True) if index.is_file() else {}
        files = [report.parent / _own(sheet.file) for sheet in sheets.values()]
        return Run(diagnosis, Pictures(sheets, {file.name: file.read_bytes() for file in files if file.is_file()}))


def _read(report: Path) -> tuple[Diagnosis, dict[SheetName, Sheet] | None]:
    """The facts, and the sheets if report.json contains them itself."""
    content = report.read_bytes()
    version = schema_version(content)
    if version == conversion.OLDEST:
        return conversion.from_schema_3(content)
    if version in conversion.WITHOUT_FILES:
        return conversion.from_schema_4_or_5(content), None
    if version > SCHEMA_VERSION:
        raise RunFolderError(
            f"{REPORT} was written by a newer version of lrdiag. Upgrade lrdiag, or make the run again with this one. "
            f"Received: schema version {version} in {report}; this version reads {_READABLE}"
        )
    if version < SCHEMA_VERSION:
        raise RunFolderError(
            f"{REPORT} must follow schema version {_READABLE}. Make the run again. "
            f"Received: schema version {version} in {report}"
        )
    return msgspec.json.decode(content, type=Diagnosis), None


def _read_index(index: Path, diagnosis: Diagnosis, *, others: bool = False) -> dict[SheetName, Sheet]:
    """Returns the sheets of a run. If the index belongs to another run, raises, or returns none if `others` is true."""
    found = msgspec.json.decode(index.read_bytes(), type=PictureIndex)
    if found.report != identity(diagnosis):
        if others:
            return {}
        raise RunFolderError(
            f"{REPORT} and {PICTURES} must belong to one run. Make the run again. Received: {index.parent}"
        )
    return {name: found.sheets[name] for name in get_args(SheetName) if name in found.sheets}


@contextmanager
def _readable(report: Path) -> Iterator[None]:
    """Explains why a run cannot be read."""
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"A run folder must contain {REPORT}, {PICTURES} and the pictures that it names. Make one with `lrdiag "
            f"train-and-report`. Received: {report.parent} ({error.strerror}: {error.filename})"
            f"{'' if report.parent.exists() else did_you_mean_file(report.parent)}"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RunFolderError(
            f"{REPORT} and {PICTURES} must follow schema version {_READABLE}. Make the run again. "
            f"Received: {report} ({error})"
        ) from error


def _own(name: str) -> str:
    # The name comes from a file that may have been edited. It must not point to another folder.
    if name in ("", ".", "..") or set(name) & set("/\\:\0"):
        raise RunFolderError(
            f"A picture must be a file in the run folder itself. Make the run again. Received: {name!r}"
        )
    return name
