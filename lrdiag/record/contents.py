"""Which files belong to the run in a folder. report.json lists them with their digests."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from lrdiag.errors import RunFolderError
from lrdiag.record import conversion
from lrdiag.record.files import LARGEST_FILE, LONGEST_LIST, LONGEST_REPORT, read_file, require_size
from lrdiag.record.folder import ASSETS, MODEL, PAGES, PICTURES, REPORT, TABLES, UNFINISHED, create, is_own, write
from lrdiag.record.pictures import FILES

OLD_LISTS = ("contents.txt", f"{ASSETS}/contents.txt")
"""Lists of files, for the run and for the page, that lrdiag wrote until schema version 5."""
_ENTRY = re.compile(r"[0-9a-f]{64}  .+")
SAVED_EARLY = f"{UNFINISHED}/files.json"
"""SHA-256 of files that a run has put in the run folder before it is complete."""


class _Listing(msgspec.Struct):
    schema_version: int
    files: dict[str, str] = {}


def digest(file: Path) -> str:
    """Returns the SHA-256 of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Returns the SHA-256 of each of the files that exists."""
    return {name: digest(folder / name) for name in sorted(names) if is_file(folder / name)}


def is_file(path: Path) -> bool:
    """Returns whether there is a file that is no link, and not in a linked folder of assets."""
    try:
        return stat.S_ISREG(path.lstat().st_mode) and not (path.parent.name == ASSETS and path.parent.is_symlink())
    except (OSError, ValueError):
        return False


def listed(report: Path) -> dict[str, str]:
    """Returns the files that a report.json lists, besides itself.

    Raises:
        RunFolderError: If it cannot be read.
    """
    try:
        return _own(msgspec.json.decode(read_file(report, LONGEST_REPORT), type=_Listing).files)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RunFolderError(
            f"{REPORT} must list the files of its run. Remove the folder {report.parent.name}, or make the run again. "
            f"Received: {report} ({error})"
        ) from error


def belonging(folder: Path) -> dict[str, str]:
    """Returns the files of the run in a folder, also of one that broke off or was written by an older version.

    Older versions did not list every file. Those that are not listed are recognised by their names. A model is not
    recognised by its name, because it may be a file of the user.

    Returns:
        SHA-256 of each file when it was written, by name. A file that has another one now was changed by the user.
    """
    files, report = _saved_early(folder) | _of_old_lists(folder), _listing(folder)
    if report is None:
        return files
    if report.files:
        return files | _own(report.files)
    unlisted = (*PAGES, PICTURES) if report.schema_version > conversion.OLDEST else (*PAGES, *FILES.values(), *TABLES)
    return digests(folder, unlisted) | files


def foreign_file(folder: Path, files: Mapping[str, str]) -> Path | None:
    """Returns a file that is not the one that report.json lists, or `None`.

    Args:
        folder: The run folder.
        files: SHA-256 of each file, by name. The page is not looked at, because it is written again and never read;
            files that don't exist are left out.

    Raises:
        RunFolderError: If a file is too large.
    """
    for name, expected in _own(files).items():
        if is_page(name) or not is_file(folder / name):
            continue
        require_size(folder / name, LARGEST_FILE)
        if digest(folder / name) != expected:
            return folder / name
    return None


def not_belonging(file: Path) -> RunFolderError:
    """Returns the error for a file that is not the one that report.json lists."""
    return RunFolderError(
        f"The files of a run folder must be those that its {REPORT} lists. Copy the whole folder of one run, or remove "
        f"this file if it is yours, or make the run again. Received: {file} with other content, of another run or "
        "changed"
    )


def is_page(name: str) -> bool:
    """Returns whether a file is a part of the page, which is written again without the other files."""
    return name in PAGES or name.startswith(f"{ASSETS}/")


def beside_the_page(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of the files that are kept when page and pictures of the run in a folder are written again.

    Those that report.json lists were compared with it when the run was read. Lists of older versions were not.
    """
    files = {name: content for name, content in belonging(folder).items() if name in (*TABLES, MODEL)}
    if _has_list(folder):
        return {name: content for name, content in files.items() if is_file(folder / name)}
    return {name: content for name, content in digests(folder, files).items() if files[name] == content}


def _has_list(folder: Path) -> bool:
    document = _listing(folder)
    return document is not None and bool(document.files)


def save_early(folder: Path, name: str) -> None:
    """Lists a file that a run has put in the folder before it is complete, so that a later run may remove it."""
    create(folder / UNFINISHED)
    write(folder / SAVED_EARLY, msgspec.json.encode(_saved_early(folder) | digests(folder, [name])))


def _listing(folder: Path) -> _Listing | None:
    try:
        return msgspec.json.decode(read_file(folder / REPORT, LONGEST_REPORT), type=_Listing)
    except (RunFolderError, OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _saved_early(folder: Path) -> dict[str, str]:
    try:
        return _own(msgspec.json.decode(read_file(folder / SAVED_EARLY, LONGEST_LIST), type=dict[str, str]))
    except (RunFolderError, OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _of_old_lists(folder: Path) -> dict[str, str]:
    lines, assets = (_lines(folder / name) if is_old_list(folder / name) else [] for name in OLD_LISTS)
    entries = (line.partition("  ") for line in lines)
    files = {name: content for content, _, name in entries if not is_page(name)}
    return _own(files | digests(folder, [f"{ASSETS}/{name}" for name in assets if is_own(f"{ASSETS}/{name}")]))


def is_old_list(file: Path) -> bool:
    """Returns whether lrdiag wrote the list. A file of this name may be one of the user."""
    lines = _lines(file)
    return (file.parent.name == ASSETS and "report.css" in lines) or (bool(lines) and all(map(_ENTRY.fullmatch, lines)))


def _lines(file: Path) -> list[str]:
    try:
        return read_file(file, LONGEST_LIST).decode().splitlines() if is_file(file) else []
    except (RunFolderError, OSError, UnicodeDecodeError):
        return []


def _own(files: Mapping[str, str]) -> dict[str, str]:
    return {name: content for name, content in files.items() if is_own(name)}  # the list may have been edited
