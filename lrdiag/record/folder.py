"""The names in a run folder, and writing single files.

Every file is written under a temporary name and then renamed, so other programs never read an incomplete file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lrdiag.errors import RunFolderError
from lrdiag.formats import encodable
from lrdiag.record.csv_file import write_rows
from lrdiag.record.pictures import FILES

REPORT = "report.json"
PICTURES = "pictures.json"
PAGE = "report.html"
SUMMARY = "summary.md"
SUMMARY_PICTURE = "summary.png"
PREDICTIONS = "predictions.csv"
PREDICTIONS_OF_MANY = "predictions.parquet"
"""The predictions of so many images that a CSV file would be slow to read."""
HISTORY = "history.csv"
RANGE_TEST = "range_test.csv"
HEATMAPS = "heatmaps.npz"
MISTAKES = "mistakes.npz"
"""Every misclassified image, if report.json describes only some."""
MODEL = "model.keras"
ASSETS = "assets"
"""The folder of style, script and pictures of a page that is not one file."""
UNFINISHED = "unfinished"
"""The folder of what a run needs that is not complete."""
PAGES = (PAGE, SUMMARY, SUMMARY_PICTURE)
TABLES = (PREDICTIONS, PREDICTIONS_OF_MANY, HISTORY, RANGE_TEST, HEATMAPS, MISTAKES)
CHARTS_OF_0_1 = ("range-test.chart.html", "training.chart.html", "reliability.chart.html", "confidence.chart.html")
"""Files in which lrdiag 0.1 kept the charts of the page."""
_OWN = frozenset({PICTURES, *PAGES, *TABLES, *FILES.values(), MODEL})


def is_own(name: str) -> bool:
    """Returns whether lrdiag writes a file of this name, relative to the run folder, besides report.json."""
    folder, _, file = name.rpartition("/")
    return name in _OWN if folder == "" else folder == ASSETS and _is_plain(file)


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and not set(name) & set("/\\:\0")


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
        with suppress(OSError):
            temporary.unlink()


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


def missing(folder: Path) -> list[Path]:
    """Returns the folder and those of its parents that `create` will have to create, innermost first."""
    return [each for each in (folder, *folder.parents) if not each.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Removes those of the folders that are empty."""
    for each in folders:
        with suppress(OSError):  # it has content
            each.rmdir()


def write(path: Path, content: str | bytes) -> None:
    """Writes a whole file. Text is encoded as UTF-8, as `formats.encodable` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else encodable(content).encode())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a table row by row, as `to_csv` formats it. Text is encoded as UTF-8, as `formats.encodable` does."""
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        write_rows(file, header, rows)
