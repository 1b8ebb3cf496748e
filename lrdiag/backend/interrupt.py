"""Ctrl-C and SIGTERM during `model.fit`, where Keras would stop without calling a callback."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import keras

from lrdiag.backend.engine import engine
from lrdiag.stopping import ENDING, Handler, in_main_thread, is_usual, send_to_main_thread, stopped

_GLANCE = 0.2  # seconds between two looks at the clock


class Interrupt(Handler):
    """Records Ctrl-C and SIGTERM instead of raising an exception, while `fit` runs with a given callback.

    Python allows a signal handler only in the main thread, and only one. The previous handler is called at a second
    signal, or if `fit` has ended with an error and therefore without `on_train_end`. A handler of the user for SIGTERM
    is not replaced. In one of several processes nothing is handled: a signal does not reach all at the same step.

    Attributes:
        number: The number of the first signal, or `None`.

    Args:
        callback: The callback that `fit` must be running with.
    """

    def __init__(self, callback: keras.callbacks.Callback) -> None:
        self.number: int | None = None
        self._second: int | None = None
        self._since = 0.0
        self._is_held = False
        self._callback = callback
        self._before: dict[int, Any] = {}
        if in_main_thread() and engine().processes() == 1:
            ending = [each for each in ENDING if is_usual(each) or self.is_set(each)]
            for each in [signal.SIGINT, *ending] if callable(signal.getsignal(signal.SIGINT)) else ending:
                self._before[each] = signal.signal(each, self._note)

    def stop_listening(self) -> None:
        """Restores the previous handlers."""
        for number, before in self._before.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, before)

    def hold(self) -> None:
        """Lets a second signal wait for `release`. A third one is not held."""
        self._is_held = True

    def release(self) -> None:
        """Ends `hold`. Raises what the second signal stands for, if there was one."""
        self._is_held = False
        if self._second is not None:
            self.stop_listening()
            raise stopped(self._second)

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Stops the block, as a second signal does, when some time has passed since the first one."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_GLANCE):
                if self.number is not None and time.monotonic() > self._since + seconds:
                    return send_to_main_thread(self.number)

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            done.set()
            watching.join()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not is_in_fit(frame, self._callback):
            self._hand_on(number, frame)
        elif self.number is None:
            self.number, self._since = number, time.monotonic()
        elif self._is_held and self._second is None:
            self._second = number
        else:
            self._hand_on(number, frame)

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        self.stop_listening()
        before = self._before[number]  # kept after `stop_listening`: a later listener may restore this one
        if callable(before):
            before(number, frame)
        else:
            signal.raise_signal(number)


def is_in_fit(frame: FrameType | None, callback: keras.callbacks.Callback) -> bool:
    """Returns whether `fit` is running with `callback`, as seen from a stack frame.

    Keras calls no callback when `fit` ends with an error, so only the stack says whether it is still running: this
    looks for a function `fit` whose local variable `callbacks` contains the callback.
    """
    while frame is not None:
        running = frame.f_locals.get("callbacks") if frame.f_code.co_name == "fit" else None
        if isinstance(running, keras.callbacks.CallbackList) and callback in running.callbacks:
            return True
        frame = frame.f_back
    return False
