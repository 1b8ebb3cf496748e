"""Signals that stop a program: Ctrl-C, and SIGTERM, which a cluster sends to a job that has to make room."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and after SIGTERM: 128 and the number of the signal, as in shells."""

_PATIENCE = 3.0
"""Seconds until a signal whose exception got lost is sent again."""

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGBREAK") if hasattr(signal, name))
"""Signals that ask a program to end. On Windows, other programs can send SIGBREAK, but not SIGTERM."""


class Terminated(SystemExit):
    """SIGTERM was received. Unless it is caught, the program ends with exit code 143."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


def stopped(number: int) -> KeyboardInterrupt | Terminated:
    """Returns the exception that a signal stands for: `KeyboardInterrupt` for Ctrl-C, `Terminated` for others."""
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated()


class Handler:
    """Base class of lrdiag's own handlers of signals, which replace each other."""

    @staticmethod
    def is_set(number: int) -> bool:
        """Returns whether a signal has a handler of lrdiag."""
        return isinstance(getattr(signal.getsignal(number), "__self__", None), Handler)


def in_main_thread() -> bool:
    """Returns whether this thread may handle signals. Python allows it only to the main thread."""
    return threading.current_thread() is threading.main_thread()


def send_to_main_thread(number: int) -> None:
    """Sends a signal to the main thread. On Windows, it is handled when a call that waits has ended."""
    thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and thread is not None:
        signal.pthread_kill(thread, number)
    else:
        _thread.interrupt_main(signal.Signals(number))


def is_usual(number: int) -> bool:
    """Returns whether a signal does what it does in every Python program. A handler of the user is kept."""
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    return signal.getsignal(number) == usual


class _Raising(Handler):
    """Raises what a signal stands for, and records the signal.

    Python ignores an exception of a handler that interrupts a finalizer or a callback from C. So the signal is sent
    again until the block has ended, or until another handler of lrdiag receives it.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._ended = threading.Event()

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            threading.Thread(target=self._insist, args=(number,), daemon=True).start()
        self.received = number
        raise stopped(number)

    def end(self) -> None:
        """Stops sending the signal."""
        self._ended.set()

    def _insist(self, number: int) -> None:
        while not self._ended.wait(_PATIENCE):
            if not self.is_set(number):
                return
            is_heard_by_another = signal.getsignal(number) != self.handle
            send_to_main_thread(number)
            if is_heard_by_another:
                return


@contextmanager
def signals_raised() -> Iterator[None]:
    """Lets SIGTERM raise `Terminated` in the block, as Ctrl-C raises `KeyboardInterrupt`.

    Only in the main thread, and only for signals that are not ignored and have no handler of the user. An engine that
    turns these exceptions into others, as TensorFlow does while it traces a function, does not hide them.

    Raises:
        KeyboardInterrupt: After Ctrl-C.
        Terminated: After SIGTERM.
    """
    raising = _Raising()
    before: dict[int, Any] = {}
    try:
        if in_main_thread():
            for number in filter(is_usual, (signal.SIGINT, *ENDING)):
                before[number] = signal.signal(number, raising.handle)
        yield
    except Exception as error:
        if raising.received is None:
            raise
        raise stopped(raising.received) from error
    finally:
        raising.end()
        for number, handler in before.items():
            signal.signal(number, handler)


class _Holding(Handler):
    """Records a signal. A second one ends the process."""

    def __init__(self) -> None:
        self.received: int | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.received = number


@contextmanager
def signals_held() -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM wait for the end of the block, which imports libraries of C++.

    They crash if an exception interrupts their import. A second signal ends the process at once.

    Raises:
        KeyboardInterrupt: After Ctrl-C.
        Terminated: After SIGTERM.
    """
    holding = _Holding()
    before: dict[int, Any] = {}
    try:
        if in_main_thread():
            for number in (signal.SIGINT, *ENDING):
                if is_usual(number) or Handler.is_set(number):
                    before[number] = signal.signal(number, holding.handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if holding.received is not None:
        raise stopped(holding.received)
