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
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from filelock import BaseFileLock, FileLock, Timeout

from lrdiag.errors import RunFolderError
from lrdiag.record.documents import encode
from lrdiag.record.files import LONGEST_LIST, read_file
from lrdiag.record.folder import write

JOB = ".lrdiag.lock"
EXCHANGE = ".lrdiag-exchange.lock"
HOLDER = ".lrdiag.holder.json"
PATIENCE = 60.0
"""Seconds to wait for a process that writes a report, which takes a few."""
_POLL = 0.05
_exchanging = threading.RLock()
"""The files of a folder are changed by one thread at a time. The file locks do not distinguish threads."""
_counting = threading.Lock()
"""Held while a lock is taken or released, so that its file is removed by the last thread that holds it."""


class Holder(msgspec.Struct, kw_only=True):
    """The process that holds the lock of a job."""

    pid: int
    host: str
    command: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}: {self.command}"


@contextmanager
def job(folder: Path, *, wait: float = 0.0) -> Iterator[bool]:
    """Holds the right to make a run in a folder. Yields whether this process did not hold it already.

    Args:
        folder: The run folder. It must exist.
        wait: Seconds to wait for another process.

    Raises:
        RunFolderError: If another process holds it, with its name.
    """
    with _locked(folder, JOB, wait, beside=(HOLDER,)) as is_first:
        if is_first:
            write(folder / HOLDER, encode(_this_process()))
        yield is_first


@contextmanager
def exchange(folder: Path) -> Iterator[None]:
    """Holds the right to change the files of a folder, which must exist.

    Raises:
        RunFolderError: If another process holds it for longer than `PATIENCE`.
    """
    with _exchanging, _locked(folder, EXCHANGE, PATIENCE):
        yield


@contextmanager
def _locked(folder: Path, name: str, wait: float, beside: tuple[str, ...] = ()) -> Iterator[bool]:
    """Yields whether this process did not hold the lock already. The last one removes the files."""
    lock = FileLock(folder.resolve() / name, thread_local=False, is_singleton=True)
    try:
        is_first = _acquire(lock, wait)
    except Timeout as error:
        raise _in_use(folder) from error
    except (OSError, NotImplementedError) as error:
        raise RunFolderError(
            "The run folder cannot be written or locked. Choose another folder. "
            f"Received: {folder} ({getattr(error, 'strerror', None) or error})"
        ) from error
    try:
        yield is_first
    finally:
        with _counting:
            for left in (*beside, name) if lock.lock_counter == 1 else ():
                with suppress(OSError):  # Windows removes the file of a lock when it is released
                    (folder / left).unlink()
            lock.release()


def _acquire(lock: BaseFileLock, wait: float) -> bool:
    deadline = time.monotonic() + wait
    while True:
        try:
            with _counting:
                lock.acquire(timeout=0)
                return lock.lock_counter == 1
        except Timeout:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_POLL)


def _in_use(folder: Path) -> RunFolderError:
    try:
        holder = str(msgspec.json.decode(read_file(folder / HOLDER, LONGEST_LIST), type=Holder))
    except (RunFolderError, OSError, msgspec.MsgspecError, UnicodeDecodeError):
        holder = "another process"
    return RunFolderError(
        f"A run folder can be written by one process at a time. Wait until the other one ends, or choose another "
        f"folder. Received: {folder}, in use by {holder}"
    )


def _this_process() -> Holder:
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return Holder(pid=os.getpid(), host=socket.gethostname(), command=shlex.join(sys.argv), since=since)
