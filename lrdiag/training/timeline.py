"""Measures where the time of `fit` goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from lrdiag.backend.callback_list import surround
from lrdiag.backend.compilations import Compilations
from lrdiag.backend.engine import engine
from lrdiag.record.facts import TimeSpent

_Kind = Literal["fetching", "validation", "callbacks", "idle"]
_Event = Callable[..., None]


class Timeline:
    """Divides the time of each epoch by what `fit` does.

    `fit` calls its callbacks between any two things that it does. One callback before all others and one behind them
    note the time there. What lies between the two is the time of the callbacks.

    Attributes:
        epochs: The time of each completed epoch.

    Args:
        model: A compiled model, when training begins.
        clock: Returns the time in seconds. It may stand still.
    """

    def __init__(self, model: keras.Model, clock: Callable[[], float]) -> None:
        self.epochs: list[TimeSpent] = []
        self._clock = clock
        self._waits = engine().waits(model)
        self._compilations = Compilations(model)
        self._compiled = 0
        self._begin(clock())

    def watch(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Takes and returns the arguments of each step, as `MeasuredSteps` requires it."""
        return self._waits.watch(arguments)

    def place(self, running: keras.callbacks.CallbackList) -> None:
        """Begins to measure. Call it when training begins, with the list of the callbacks."""
        idle, validation, callbacks = self._ends("idle"), self._ends("validation"), self._ends("callbacks")
        first = keras.callbacks.LambdaCallback(
            on_epoch_begin=self._begins_epoch,
            on_train_batch_begin=self._ends("fetching") if self._waits.are_between_steps else idle,
            on_train_batch_end=self._ends_step,
            on_test_begin=idle,
            on_test_end=validation,
            on_epoch_end=idle,
        )
        last = keras.callbacks.LambdaCallback(
            on_epoch_begin=callbacks,
            on_train_batch_begin=callbacks,
            on_train_batch_end=callbacks,
            on_test_begin=callbacks,
            on_test_end=callbacks,
            on_epoch_end=self._ends_epoch,
        )
        surround(running, first, last)

    def current(self) -> TimeSpent:
        """Returns the time of the epoch that has not ended."""
        waits = self._waits.of_steps(self._steps, self._are_compiled)
        own = np.subtract(self._steps, waits or 0.0)
        is_compiled = np.array(self._are_compiled, dtype=bool)
        return TimeSpent(
            compiling=float(own[is_compiled].sum()),
            computing=float(own[~is_compiled].sum()),
            waiting=None if waits is None and self._steps else sum(waits or []) + self._spent["fetching"],
            validation=self._spent["validation"],
            callbacks=self._spent["callbacks"],
            idle=self._spent["idle"],
            compilations=sum(self._are_compiled) if self._compilations.are_counted else None,
        )

    def _begin(self, now: float) -> None:
        self._since = now
        self._spent: dict[_Kind, float] = {"fetching": 0.0, "validation": 0.0, "callbacks": 0.0, "idle": 0.0}
        self._steps: list[float] = []
        self._are_compiled: list[bool] = []
        self._waits.begin_epoch()

    def _elapsed(self) -> float:
        now = self._clock()
        elapsed, self._since = now - self._since, now
        return elapsed

    def _ends(self, kind: _Kind) -> _Event:
        """Returns the event that ends time of a kind."""

        def end(*arguments: object, **logs: object) -> None:
            self._spent[kind] += self._elapsed()

        return end

    def _begins_epoch(self, epoch: int, logs: object) -> None:
        if self.epochs:
            self._spent["idle"] += self._elapsed()
        else:
            self._begin(self._clock())  # what came before is the beginning of training

    def _ends_step(self, batch: int, logs: object) -> None:
        self._steps.append(self._elapsed())
        compiled = self._compilations.count()
        self._are_compiled.append(compiled > self._compiled)
        self._compiled = compiled

    def _ends_epoch(self, epoch: int, logs: object) -> None:
        self._spent["callbacks"] += self._elapsed()
        self.epochs.append(self.current())
        self._begin(self._since)
