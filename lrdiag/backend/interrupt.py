"""Ctrl-C during `model.fit`, where Keras would stop without calling a callback."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import keras


class Interrupt:
    """Records Ctrl-C instead of raising `KeyboardInterrupt`, while `fit` runs with a given callback.

    Python allows a signal handler only in the main thread, and only one. The previous handler is called at a second
    Ctrl-C, or if `fit` has ended with an error and therefore without `on_train_end`.

    Attributes:
        pressed: Whether Ctrl-C was pressed.

    Args:
        callback: The callback that `fit` must be running with.
    """

    def __init__(self, callback: keras.callbacks.Callback) -> None:
        self.pressed = False
        self._callback = callback
        self._before: Any = None
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and callable(signal.getsignal(signal.SIGINT)):
            self._before = signal.signal(signal.SIGINT, self._note)

    def stop_listening(self) -> None:
        """Restores the previous handler."""
        if self._before is not None and signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pressed or not is_in_fit(frame, self._callback):
            self.stop_listening()
            self._before(number, frame)  # kept after `stop_listening`: a later listener may restore this one
        else:
            self.pressed = True


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
