"""How a run reports its progress to a listener."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Stage(Protocol):
    """A stage of a run."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Reports that `steps` more steps are done. `note` is shown next to the bar."""


class Progress(Protocol):
    """A listener, such as the command line or a notebook."""

    def stage(self, title: str, total: int | None = None, unit: str = "") -> AbstractContextManager[Stage]:
        """Begins a stage of `total` steps, counted in `unit`. It ends with the returned context."""

    def warn(self, text: str) -> None:
        """Shows a warning."""


class Silence:
    """A listener that ignores everything. The default in Python."""

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "") -> Iterator[Silence]:
        """Begins a stage that is not shown."""
        yield self

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Does nothing."""

    def warn(self, text: str) -> None:
        """Does nothing."""


SILENCE = Silence()
