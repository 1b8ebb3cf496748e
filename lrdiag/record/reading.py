"""Reading a run folder: its facts and pictures, of this and of older schema versions."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import msgspec

from lrdiag.errors import RunFolderError, did_you_mean_file
from lrdiag.record import conversion, exchange
from lrdiag.record.consistency import require_consistent
from lrdiag.record.contents import foreign_file, not_belonging
from lrdiag.record.documents import PictureIndex, identity, schema_version
from lrdiag.record.facts import SCHEMA_VERSION, Diagnosis, Run
from lrdiag.record.files import LONGEST_LIST, LONGEST_REPORT, read_file
from lrdiag.record.folder import MISTAKES, PICTURES, REPORT
from lrdiag.record.picture_files import MOST_BYTES, require_few_pixels, require_picture
from lrdiag.record.pictures import FILES, Pictures, Sheet, SheetName
from lrdiag.record.sheet_consistency import require_matching
from lrdiag.record.wrong_images import WrongImages, from_npz

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
        pictures = _pictures_in(report.parent)
        if foreign := foreign_file(report.parent, diagnosis.files):
            raise not_belonging(foreign)
        if sheets is None:
            sheets = _read_index(report.parent / PICTURES, diagnosis)
        run = _run(diagnosis, sheets, pictures, report.parent)
        for sheet in sheets.values():
            if sheet.file not in pictures:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(report.parent / sheet.file))
        return run


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
    folder = report.parent
    with _readable(report):
        diagnosis, sheets = _read(report)
        pictures = _pictures_in(folder)
        if foreign := foreign_file(folder, diagnosis.files):
            if report.name == REPORT:
                raise not_belonging(foreign)
            return _run(diagnosis, {}, {}, None)
        if sheets is None:
            has_index = os.path.lexists(folder / PICTURES)
            sheets = _read_index(folder / PICTURES, diagnosis, others=True) if has_index else {}
        return _run(diagnosis, sheets, pictures, folder)


def _pictures_in(folder: Path) -> dict[str, bytes]:
    """Reads the picture files in a folder, by name.

    Raises:
        RunFolderError: If one is no regular file, or too large.
    """
    files = {}
    for name in FILES.values():
        if os.path.lexists(folder / name):
            files[name] = read_file(folder / name, MOST_BYTES)
            require_few_pixels(name, files[name])
    return files


def _run(diagnosis: Diagnosis, sheets: dict[SheetName, Sheet], pictures: dict[str, bytes], folder: Path | None) -> Run:
    """Returns the run with those of the picture files that its sheets name, and what else it needs of its folder.

    Raises:
        RunFolderError: If facts, sheets and pictures do not agree.
    """
    require_consistent(diagnosis)
    require_matching(diagnosis, sheets)
    files = {sheet.file: pictures[sheet.file] for sheet in sheets.values() if sheet.file in pictures}
    for sheet in sheets.values():
        if sheet.file in files:
            require_picture(sheet, files[sheet.file])
    return Run(diagnosis, Pictures(sheets, files), None if folder is None else _wrong_images(folder, diagnosis))


def _wrong_images(folder: Path, diagnosis: Diagnosis) -> WrongImages | None:
    """Reads mistakes.npz if the facts do not list every misclassified image."""
    if len(diagnosis.misclassified.items) == diagnosis.misclassified.count:
        return None
    if not os.path.lexists(folder / MISTAKES):
        return None
    return from_npz(read_file(folder / MISTAKES, LONGEST_REPORT), diagnosis)


def _read(report: Path) -> tuple[Diagnosis, dict[SheetName, Sheet] | None]:
    """The facts, and the sheets if report.json contains them itself."""
    content = read_file(report, LONGEST_REPORT)
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
    found = msgspec.json.decode(read_file(index, LONGEST_LIST), type=PictureIndex)
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
