"""Keeps charts in the user's cache folder: importing matplotlib costs more than the rest of a page.

Cached charts are put on the page unchanged. Therefore the folder and each file must belong to the user, and no one
else may write to them.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from markupsafe import Markup

FOLDER_VARIABLE = "LRDIAG_CACHE_DIR"
_MOST_BYTES = 16 * 2**20
"""Size of the cache. The oldest charts are removed if it is exceeded."""
_SHARED = ("drawing.py", "formats.py", "palette.py")
"""Modules of the package that the charts use."""


def drawn(name: str, numbers: object, draw: Callable[[], Markup]) -> Markup:
    """Returns the chart from the cache if this code drew it from these numbers. Otherwise draws and caches it.

    An unusable cache is not an error.

    Args:
        name: Kind of chart.
        numbers: Everything that the chart shows; it is compared by its `repr`.
        draw: Draws the chart.
    """
    key = hashlib.sha256(repr((version("lrdiag"), _code(), name, numbers)).encode(errors="replace")).hexdigest()
    folder = _private(_cache_folder())
    if folder is None:
        return draw()
    file = folder / f"{key}.svg"
    chart = _read(file)
    if chart is None:
        chart = draw()
        with suppress(OSError):
            _keep(file, chart)
    return chart


@cache
def _code() -> str:
    """A digest of the modules that draw: a version in development draws differently without another number."""
    folder = Path(__file__).parent
    modules = [*sorted(folder.glob("*.py")), *(folder.parents[1] / name for name in _SHARED)]
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()


def _cache_folder() -> Path | None:
    """Returns the folder of the user's caches, or `None` if the user has no home folder."""
    if own := os.environ.get(FOLDER_VARIABLE):
        return Path(own)
    try:
        if sys.platform == "win32":
            caches = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            caches = Path.home() / "Library" / "Caches"
        else:
            caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return caches / "lrdiag"


def _private(folder: Path | None) -> Path | None:
    """Returns the folder of the charts, or `None` if it cannot be created or someone else may write to it."""
    if folder is None:
        return None
    charts = folder / "charts"
    try:
        charts.mkdir(mode=0o700, parents=True, exist_ok=True)
        return charts if _is_ours(charts.lstat(), stat.S_ISDIR) else None
    except OSError:
        return None


def _is_ours(state: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Returns whether a file is of this kind, belongs to the user, and cannot be written by anyone else."""
    if not is_kind(state.st_mode):
        return False
    if sys.platform == "win32":  # its access rights are not in the mode; the default folder is the user's own
        return True
    return state.st_uid == os.getuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _read(file: Path) -> Markup | None:
    """Returns the chart in a file, or `None` if it is missing, incomplete, or may have been written by someone else."""
    try:
        with open(os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as opened:
            if not _is_ours(os.fstat(opened.fileno()), stat.S_ISREG):
                return None
            digest, _, chart = opened.read().partition(b"\n")
    except OSError:
        return None
    return Markup(chart.decode()) if hashlib.sha256(chart).hexdigest().encode() == digest else None


def _keep(file: Path, chart: Markup) -> None:
    """Writes the chart beside its place and renames it, then removes the oldest charts if there are too many."""
    content = chart.encode()
    handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=file.suffix)
    try:
        with open(handle, "wb") as opened:
            opened.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        os.replace(temporary, file)
    finally:
        Path(temporary).unlink(missing_ok=True)
    _prune(file.parent)


def _prune(folder: Path) -> None:
    states = [(each, each.stat()) for each in folder.glob("*.svg")]
    room = _MOST_BYTES
    for each, state in sorted(states, key=lambda pair: -pair[1].st_mtime_ns):
        room -= state.st_size
        if room < 0:
            each.unlink(missing_ok=True)
