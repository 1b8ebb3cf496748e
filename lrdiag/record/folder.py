"""The run folder: where a run is kept, and from where its page can be made again.

Every file is written beside its place and renamed, so that none is ever seen half written.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from lrdiag.errors import RunFolderError
from lrdiag.record.facts import SCHEMA_VERSION, Diagnosis, Run
from lrdiag.record.pictures import Sheet

REPORT = "report.json"
RANGE_TEST_CHART = "range-test.chart.html"
TRAINING_CHART = "training.chart.html"
RELIABILITY_CHART = "reliability.chart.html"
CONFIDENCE_CHART = "confidence.chart.html"
CHARTS = (RANGE_TEST_CHART, TRAINING_CHART, RELIABILITY_CHART, CONFIDENCE_CHART)
SUMMARY_PICTURE = "summary.png"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes its place when the block ends without an error.

    Raises:
        RunFolderError: If the file cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"{path.name} cannot be written. Choose a folder that can be with --out. "
        f"Received: {path.parent} ({error.strerror or error})"
    )


def create(folder: Path) -> None:
    """Makes the folder and proves that it can be written, before hours of work depend on it.

    Raises:
        RunFolderError: If it can not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunFolderError(
            f"The run folder cannot be written. Choose another with --out. Received: {folder} ({error.strerror})"
        ) from error


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Creates a run folder, proves that it is writable, and removes it if an error leaves it empty.

    Raises:
        RunFolderError: If it can't be created or written.
    """
    created = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        create(folder)
        yield
    except BaseException:
        for each in created:
            with suppress(OSError):  # it has content
                each.rmdir()
        raise


def write(path: Path, content: str | bytes) -> None:
    """Writes a whole file, UTF-8 where it is text."""
    with replacing(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a table. Text that a spreadsheet would run as a formula is disarmed by an apostrophe."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(_disarmed(cell) for cell in header)
    table.writerows([_disarmed(cell) for cell in row] for row in rows)
    write(path, text.getvalue())


def _disarmed(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def save(folder: Path, run: Run) -> None:
    """Writes the facts and the pictures of a run."""
    for name, content in run.pictures.items():
        write(folder / name, content)
    write(folder / REPORT, to_json(run.diagnosis))


def to_json(diagnosis: Diagnosis) -> bytes:
    """The content of report.json. Numbers that are not finite become null."""
    return msgspec.json.format(msgspec.json.encode(diagnosis), indent=1) + b"\n"


def schema() -> dict[str, Any]:
    """The JSON Schema of report.json, as the package publishes it in `lrdiag/report.schema.json`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Diagnosis)}


def load(folder: Path) -> Run:
    """Reads a run back.

    Raises:
        RunFolderError: If the folder holds no run, or one that this version cannot read.
    """
    with _readable(folder / REPORT):
        diagnosis = _from_json((folder / REPORT).read_bytes())
        pictures = {sheet.file: (folder / _own(sheet.file)).read_bytes() for sheet in _sheets(diagnosis)}
        drawings = [drawing for drawing in (*CHARTS, SUMMARY_PICTURE) if (folder / drawing).exists()]
        pictures |= {drawing: (folder / drawing).read_bytes() for drawing in drawings}
    return Run(diagnosis, pictures)


def load_baseline(path: Path) -> Run:
    """Reads a run to compare with; pictures that do not lie beside its report.json are left out.

    Args:
        path: A run folder or a report.json.

    Raises:
        RunFolderError: If there is no run, or one that this version cannot read.
    """
    report = path if path.is_file() else path / REPORT
    with _readable(report):
        diagnosis = _from_json(report.read_bytes())
        files = [report.parent / _own(sheet.file) for sheet in _sheets(diagnosis)]
        return Run(diagnosis, {file.name: file.read_bytes() for file in files if file.is_file()})


@contextmanager
def _readable(report: Path) -> Iterator[None]:
    """Explains why a run cannot be read."""
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"A run folder holds {REPORT} and the pictures that it names; make one with `lrdiag train-and-report`. "
            f"Received: {report.parent} ({error.strerror}: {error.filename})"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RunFolderError(
            f"{REPORT} must follow schema version {SCHEMA_VERSION}, which this version of lrdiag writes. Make the run "
            f"again. Received: {report} ({error})"
        ) from error


def _sheets(diagnosis: Diagnosis) -> list[Sheet]:
    sheets, maps, comparison = diagnosis.sheets, diagnosis.sheets.heatmaps, diagnosis.comparison
    named = [sheets.photographs, sheets.samples]
    named += [maps.predicted, maps.true, maps.difference, maps.means] if maps else []
    named += [comparison.fixed_photographs, comparison.fixed_heatmaps] if comparison else []
    named += [diagnosis.evolution.photographs, diagnosis.evolution.heatmaps] if diagnosis.evolution else []
    return [sheet for sheet in named if sheet]


def _from_json(content: bytes) -> Diagnosis:
    msgspec.json.decode(content, type=_Version)  # first, so that an old file is not called a broken one
    return msgspec.json.decode(content, type=Diagnosis)


@dataclass(frozen=True)
class _Version:
    schema_version: Literal[3]


def _own(name: str) -> str:
    # it comes from a file that anyone may have edited: it must not lead out of the folder, read or written
    if name in ("", ".", "..") or set(name) & set("/\\:\0"):
        raise RunFolderError(
            f"A picture must be a file in the run folder itself. Make the run again. Received: {name!r}"
        )
    return name
