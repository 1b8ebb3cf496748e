"""Progress on stderr: bars on a terminal, one line per stage in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich import markup
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from lrdiag import formats


class ConsoleProgress:
    """Prints the progress of a run to stderr. Respects NO_COLOR.

    Args:
        quiet: Print only warnings.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._warnings = Console(stderr=True, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
        )
        self._watched = self._console.is_terminal and not quiet

    def say(self, text: str) -> None:
        """Prints a line."""
        self._console.print(_shown(text))

    def warn(self, text: str) -> None:
        """Prints a warning, also if `quiet`."""
        self._warnings.print(f"[bold yellow]Warning:[/] {_shown(text)}", soft_wrap=True)

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "") -> Iterator[_Bar]:
        """Shows a bar during the stage, and prints a line with its duration at the end."""
        started = time.monotonic()
        bar = _Bar(self._bars, title, total, unit)
        with self._bars if self._watched else nullcontext():
            try:
                yield bar
            finally:
                bar.remove()
        self._console.print(f"{_shown(title)}: {time.monotonic() - started:.1f} s{_shown(bar.last_note)}")


class _Bar:
    """The bar of one stage."""

    def __init__(self, bars: Progress, title: str, total: int | None, unit: str) -> None:
        self._bars = bars
        self._task = bars.add_task(_shown(title), total=total, note="", unit=unit)
        self._left = float("inf") if total is None else total
        self.last_note = ""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Moves the bar, at most to its end: the last batch may be smaller than it is counted."""
        taken = min(steps, self._left)
        self._left -= taken
        self._bars.update(self._task, advance=taken, note=_shown(note))
        self.last_note = f" · {note}" if note else self.last_note

    def remove(self) -> None:
        """Removes the bar from the screen."""
        self._bars.remove_task(self._task)


def _shown(text: str) -> str:
    """Returns text as rich's markup shows it, with normal spaces and without control characters."""
    return markup.escape(formats.for_terminal(text))


class _Speed(ProgressColumn):
    """Steps per second, in the unit of the stage."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {task.fields['unit']}/s" if speed else "")
