"""Locks of a run folder: two processes never write to it at once. A lock ends with its process, also a killed one.

`job` is held by whoever makes a run: from the start of training or evaluation to the end. `exchange` is held for the
moment in which the files of the folder change, also by `lrdiag report`, so that it need not wait for training. Both may
be taken again by the process that holds them.
"""

from __future__ import annotations

import datetime
import os
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from lrdiag.errors import RunFolderError
from lrdiag.record.folder import write

JOB = ".lrdiag.lock"
EXCHANGE = ".lrdiag-exchange.lock"
HOLDER = ".lrdiag.holder.json"
PATIENCE = 60.0
"""Seconds to wait for a process that writes a report, which takes a few."""
_threads = threading.RLock()
"""The files of a folder are changed by one thread at a time. The file lock does not distinguish threads."""


class Holder(msgspec.Struct, kw_only=True):
    """The process that holds the lock of a job."""

    pid: int
    host: str
    command: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}: {self.command}"


@contextmanager
def job(folder: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Holds the right to make a run in a folder.

    Args:
        folder: The run folder. It must exist.
        wait: Seconds to wait for another process.

    Raises:
        RunFolderError: If another process holds it, with its name.
    """
    holder = folder / HOLDER
    with _locked(folder / JOB, wait) as is_first:
        if is_first:
            write(holder, msgspec.json.encode(_this_process()))
        try:
            yield
        finally:
            if is_first:
                holder.unlink(missing_ok=True)


@contextmanager
def exchange(folder: Path) -> Iterator[None]:
    """Holds the right to change the files of a folder, which must exist.

    Raises:
        RunFolderError: If another process holds it for longer than `PATIENCE`.
    """
    with _threads, _locked(folder / EXCHANGE, PATIENCE):
        yield


@contextmanager
def _locked(file: Path, wait: float) -> Iterator[bool]:
    """Yields whether this process did not hold the lock already."""
    lock = FileLock(file.parent.resolve() / file.name, thread_local=False, is_singleton=True)
    try:
        lock.acquire(timeout=wait)
    except Timeout as error:
        raise _in_use(file.parent) from error
    except (OSError, NotImplementedError) as error:
        raise RunFolderError(
            "The run folder cannot be written or locked. Choose another folder. "
            f"Received: {file.parent} ({getattr(error, 'strerror', None) or error})"
        ) from error
    is_first = lock.lock_counter == 1
    try:
        yield is_first
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):  # Windows removes it when it is released
                file.unlink()
        lock.release()


def _in_use(folder: Path) -> RunFolderError:
    try:
        holder = str(msgspec.json.decode((folder / HOLDER).read_bytes(), type=Holder))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        holder = "another process"
    return RunFolderError(
        f"A run folder can be written by one process at a time. Wait until the other one ends, or choose another "
        f"folder. Received: {folder}, in use by {holder}"
    )


def _this_process() -> Holder:
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return Holder(pid=os.getpid(), host=socket.gethostname(), command=shlex.join(sys.argv), since=since)
