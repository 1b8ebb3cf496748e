"""Reading files that someone else may have put into a folder."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from lrdiag.errors import RunFolderError

_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))
"""No link is followed and no pipe is waited for. Windows has neither flag, nor pipes in folders."""
LONGEST_REPORT = 512 * 2**20
"""Bytes of report.json. The confusion matrix of 9,000 classes, or 700,000 mistakes, are as long."""
LARGEST_FILE = 8 * 2**30
"""Bytes of a file that is not read but compared with its digest, which takes seconds."""
LONGEST_LIST = 64 * 2**20
"""Bytes of pictures.json, and of lists of files."""


def read_file(path: Path, limit: int) -> bytes:
    """Reads a file that may be anything: a link, a pipe, a device, or larger than the memory.

    Args:
        path: The file. Its folder may be a link; the file itself may not.
        limit: Most bytes that it may have.

    Raises:
        RunFolderError: If it is no regular file, or too large.
        OSError: If it does not exist or cannot be read.
    """
    _require_regular(path, os.lstat(path))
    try:
        opened = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:  # it became a link since `lstat`
            raise _no_regular_file(path, "a link") from error
        raise
    with open(opened, "rb") as file:
        state = os.fstat(file.fileno())
        _require_regular(path, state)
        _require_size(path, state.st_size, limit)
        content = file.read(limit + 1)  # it may have grown
    _require_size(path, len(content), limit)
    return content


def require_size(path: Path, limit: int) -> None:
    """Raises if a file has more than `limit` bytes.

    Raises:
        RunFolderError: If it does.
        OSError: If it does not exist.
    """
    _require_size(path, os.lstat(path).st_size, limit)


def _require_size(path: Path, size: int, limit: int) -> None:
    if size > limit:
        raise RunFolderError(
            f"{path.name} of a run folder may have {limit / 2**20:,.0f} MiB at most. Make the run again. "
            f"Received: {size / 2**20:,.0f} MiB in {path}"
        )


def is_regular(path: Path) -> bool:
    """Returns whether there is a file that is no link, pipe or device."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def _require_regular(path: Path, state: os.stat_result) -> None:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    if not stat.S_ISREG(state.st_mode):
        raise _no_regular_file(path, kinds.get(stat.S_IFMT(state.st_mode), "a device"))


def _no_regular_file(path: Path, kind: str) -> RunFolderError:
    return RunFolderError(
        f"{path.name} of a run folder must be a file. Copy the file itself into the folder. Received: {kind}, {path}"
    )
