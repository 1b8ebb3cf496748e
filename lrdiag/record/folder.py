"""Writing a run folder, which contains everything that is needed to write the page again.

Every file is written under a temporary name and then renamed, so other programs never read an incomplete file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from lrdiag.errors import RunFolderError
from lrdiag.record import conversion
from lrdiag.record.documents import PictureIndex, encode, identity, schema_version, to_json
from lrdiag.record.facts import Run
from lrdiag.record.pictures import FILES

REPORT = "report.json"
PICTURES = "pictures.json"
PAGE = "report.html"
SUMMARY = "summary.md"
SUMMARY_PICTURE = "summary.png"
PREDICTIONS = "predictions.csv"
HISTORY = "history.csv"
RANGE_TEST = "range_test.csv"
HEATMAPS = "heatmaps.npz"
MODEL = "model.keras"
CONTENTS = "contents.txt"
"""SHA-256 and name of each file that some runs write and others do not; see `complete`."""
CHARTS_OF_0_1 = ("range-test.chart.html", "training.chart.html", "reliability.chart.html", "confidence.chart.html")
"""Files in which lrdiag 0.1 kept the charts of the page."""
_TABLES = (PREDICTIONS, HISTORY, RANGE_TEST, HEATMAPS)
_LISTED = frozenset({*FILES.values(), *_TABLES, MODEL})


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`. It replaces `path` if the block ends without an error.

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
        f"{path.name} cannot be written. Choose a writable folder. Received: {path.parent} ({error.strerror or error})"
    )


def create(folder: Path) -> None:
    """Creates the folder and checks that it can be written, before anything slow starts.

    Raises:
        RunFolderError: If it cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunFolderError(
            f"The run folder cannot be written. Choose another folder. Received: {folder} ({error.strerror})"
        ) from error


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Creates a run folder, checks that it can be written, and removes it if it is empty after an error.

    Raises:
        RunFolderError: If it can't be created or written.
    """
    created = missing(folder)
    try:
        create(folder)
        yield
    except BaseException:
        remove_empty(created)
        raise


def missing(folder: Path) -> list[Path]:
    """Returns the folder and those of its parents that `create` will have to create, innermost first."""
    return [each for each in (folder, *folder.parents) if not each.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Removes those of the folders that are empty."""
    for each in folders:
        with suppress(OSError):  # it has content
            each.rmdir()


def write(path: Path, content: str | bytes) -> None:
    """Writes a whole file. Text is encoded as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a table, as `to_csv` formats it."""
    write(path, to_csv(header, rows))


def to_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a table as CSV. An apostrophe is put before text that a spreadsheet would run as a formula."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(_disarmed(cell) for cell in header)
    table.writerows([_disarmed(cell) for cell in row] for row in rows)
    return text.getvalue()


def _disarmed(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


# --- the files of a run -----------------------------------------------------------------------------------------------


def earlier_files(folder: Path) -> dict[str, str]:
    """Returns the files of an earlier run that the new run does not necessarily overwrite.

    Call it before the first file of the new run is written, and give the result to `complete`.

    Returns:
        SHA-256 of each file when it was written, by name. lrdiag 0.1 wrote no list, so its files are recognised by
        their names. A model is not included, because it may be a file of the user.
    """
    try:
        lines = (folder / CONTENTS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return _digests(folder, (*FILES.values(), *_TABLES)) if _is_of_0_1(folder / REPORT) else {}
    entries = (line.partition("  ") for line in lines)
    return {name: digest for digest, _, name in entries if name in _LISTED}  # the list may have been edited


def complete(folder: Path, earlier: dict[str, str], written: Collection[str]) -> None:
    """Ends the writing of a run: removes what an earlier run left in the folder, and lists the files of this run.

    A file that has changed since the earlier run wrote it is not removed.

    Args:
        folder: The run folder.
        earlier: What `earlier_files` returned before this run was written.
        written: Names of the files that this run wrote. Other names than those of a run's own files are ignored.

    Raises:
        RunFolderError: If the folder cannot be written.
    """
    left = {name: digest for name, digest in earlier.items() if name not in written}
    for name, digest in _digests(folder, left).items():
        if digest == left[name]:
            (folder / name).unlink()
    _list(folder, _digests(folder, _LISTED.intersection(written)))


def list_files(folder: Path, names: Collection[str]) -> None:
    """Lists files that a run has written before it is complete, so that a later run may remove them after an error."""
    _list(folder, earlier_files(folder) | _digests(folder, _LISTED.intersection(names)))


def _digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of each file that exists."""
    digests = {}
    for name in sorted(names):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _list(folder: Path, digests: dict[str, str]) -> None:
    write(folder / CONTENTS, "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())))


def _is_of_0_1(report: Path) -> bool:
    try:
        return schema_version(report.read_bytes()) == conversion.OLDEST
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def save(folder: Path, run: Run) -> None:
    """Writes the facts and the pictures of a run, and adds the pictures to the list of its files."""
    for name, content in run.pictures.files.items():
        write(folder / name, content)
    list_files(folder, run.pictures.files)  # before report.json: until then, the folder may hold a run of lrdiag 0.1
    index = PictureIndex(identity(run.diagnosis), dict(run.pictures.sheets.items()))
    write(folder / PICTURES, encode(index))
    write(folder / REPORT, to_json(run.diagnosis))
