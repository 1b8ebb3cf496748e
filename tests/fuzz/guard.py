"""Watches a process that reads hostile input: time, memory, and what it does to the outside."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 30
"""Most time for one input. A process that takes longer ends with the tracebacks of its threads."""
MOST_BYTES = 3 * 2**29
"""Most memory that one input may take beside that of the process."""
_RUNS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "subprocess.Popen",
    "socket.connect",
    "pty.spawn",
)
_WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")


class Guard:
    """Notes what the process does that reading input must not do.

    An audit hook cannot be removed, so there is one guard for each process.
    """

    def __init__(self) -> None:
        self._allowed: tuple[str, ...] | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._look)

    @contextmanager
    def watching(self, *allowed: Path) -> Iterator[None]:
        """Watches the block, which may write only inside these folders."""
        self.seen, self._allowed = [], tuple(os.path.realpath(each) + os.sep for each in allowed)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._allowed = None

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._allowed is None:
            return
        if event in _RUNS:
            self.seen.append(f"{event} {str(arguments)[:200]}")
        elif (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ) or event in _WRITES:
            self._require_inside(event, arguments[0])

    def _require_inside(self, event: str, path: Any) -> None:
        if isinstance(path, int) or path is None or path == os.devnull:
            return
        parent, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        if not f"{os.path.realpath(parent)}{os.sep}{name}{os.sep}".startswith(self._allowed or ()):
            self.seen.append(f"{event} outside: {os.fsdecode(path)[:200]}")


def limit_memory() -> None:
    """Limits the memory of this process. Call it after the imports, whose memory does not count."""
    import resource  # not on Windows

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, used + MOST_BYTES))
