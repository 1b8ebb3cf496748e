"""Whose an options file is. One that is found in a shared folder may be a stranger's."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path


def is_strangers(file: Path) -> bool:
    """Returns whether anyone may have written a file.

    That is so if everyone can write to it, or if everyone can write to its folder and the file isn't the user's.
    Windows doesn't say so in a portable way. There, no file is taken for a stranger's.

    Args:
        file: An existing file.
    """
    return _is_open_to_all(file) or (_is_open_to_all(file.absolute().parent) and not _is_own(file))


def is_in_own_repository(file: Path) -> bool:
    """Returns whether a file is in a repository of the user: file, `.git` and the folders between belong to the user.

    On Windows, what is in the user's home folder belongs to the user.

    Args:
        file: An existing file.
    """
    path = file.absolute()
    if not _is_private(path):
        return False
    for folder in path.parents:
        if not _is_private(folder):
            return False
        if os.path.lexists(folder / ".git"):
            return _is_private(folder / ".git")
    return False


def _is_private(path: Path) -> bool:
    return _is_own(path) and not _is_open_to_all(path)


def _is_own(path: Path) -> bool:
    """Returns whether a path belongs to the user. If it is a link, so must what it points to."""
    try:
        if sys.platform == "win32":  # it has owners, but Python reports none
            return path.resolve().is_relative_to(Path.home().resolve())
        return {path.lstat().st_uid, path.stat().st_uid} == {os.geteuid()}
    except (OSError, RuntimeError):  # the latter if the user has no home folder
        return False


def _is_open_to_all(path: Path) -> bool:
    """Returns whether every user may write to a path. On Windows the mode doesn't say so."""
    return sys.platform != "win32" and bool(path.stat().st_mode & stat.S_IWOTH)
