"""Reads CIFAR-10 in a thread while the engine starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from lrdiag.data.loading import load_dataset
from lrdiag.data.sources.cifar10 import on_disk
from lrdiag.progress import SILENCE, Progress, Stage
from lrdiag.record.arrays import Dataset

if TYPE_CHECKING:
    from lrdiag.settings import Settings

_GLANCE = 0.2  # seconds

Load = Callable[["Settings", Progress], Dataset]


def begun_to_load(settings: Settings) -> Load:
    """Begins to read the data if it is CIFAR-10 on disk, and returns a function that is called as `load_dataset` is.

    Other data may need packages that the engine imports at the same time, and is read by the call.

    Example:
        ```python
        load = begun_to_load(settings)
        start_engine()
        dataset = load(settings, progress)
        ```

    Args:
        settings: The settings that the function will receive.
    """
    if settings.data not in (None, "cifar10") or not on_disk(settings.data_dir):
        return load_dataset
    return _Reading(settings).result


class _Reading:
    """A dataset that is read in a thread."""

    def __init__(self, settings: Settings) -> None:
        self._progress = _Postponed()
        self._dataset: list[Dataset] = []
        Thread(target=self._read, args=(settings,), daemon=True).start()

    def _read(self, settings: Settings) -> None:
        try:
            self._dataset.append(load_dataset(settings, self._progress))
            self._progress.end()
        except BaseException as error:  # `result` raises it
            self._progress.fail(error)

    def result(self, _: Settings, progress: Progress) -> Dataset:
        """Waits for the dataset, and shows what was done before and what is done now."""
        self._progress.show(progress)
        return self._dataset[0]


@dataclass
class _Shown:
    """What another listener is shown: `stage` is its present stage, which `stages` ends."""

    progress: Progress
    stages: ExitStack
    stage: Stage = SILENCE


class _Postponed:
    """A listener that passes on what it receives when another thread asks for it."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[_Shown], None] | None] = SimpleQueue()

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "") -> Iterator[_Postponed]:
        """Begins a stage. If it fails, `fail` ends it."""

        def begin(shown: _Shown) -> None:
            shown.stage = shown.stages.enter_context(shown.progress.stage(title, total, unit))

        self._calls.put(begin)
        yield self
        self._calls.put(lambda shown: shown.stages.close())

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Reports that `steps` more steps of the stage are done."""
        self._calls.put(lambda shown: shown.stage.advance(steps, note))

    def warn(self, text: str) -> None:
        """Shows a warning."""
        self._calls.put(lambda shown: shown.progress.warn(text))

    def fail(self, error: BaseException) -> None:
        """Raises an error in the other thread, within the present stage."""

        def fail(_: _Shown) -> None:
            raise error

        self._calls.put(fail)

    def end(self) -> None:
        """Nothing follows."""
        self._calls.put(None)

    def show(self, progress: Progress) -> None:
        """Passes everything on until the end, or raises the error."""
        with ExitStack() as stages:
            shown = _Shown(progress, stages)
            while (call := self._next_call()) is not None:
                call(shown)

    def _next_call(self) -> Callable[[_Shown], None] | None:
        """Waits for the next call. On Windows, a signal is handled only between two waits."""
        while True:
            with suppress(Empty):
                return self._calls.get(timeout=_GLANCE)
