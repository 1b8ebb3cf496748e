"""How a run tells what it is doing, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Stage(Protocol):
    """One stage of a run, while it lasts."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Tells that `steps` more are done; `note` is shown beside the bar."""


class Progress(Protocol):
    """Whoever listens to a run: the command line, a notebook, nobody."""

    def stage(self, title: str, total: int | None = None, unit: str = "") -> AbstractContextManager[Stage]:
        """Opens a stage of `total` steps, counted in `unit`s."""

    def warn(self, text: str) -> None:
        """Says what the reader must not miss."""


class Silence:
    """A listener that ignores everything; the default outside the command line."""

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "") -> Iterator[Silence]:
        """Opens a stage that nobody sees."""
        yield self

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Does nothing."""

    def warn(self, text: str) -> None:
        """Does nothing."""
