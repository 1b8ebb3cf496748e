"""Whether `fit` is running, determined from the stack. The tests fail if Keras renames `fit` or its variables."""

from __future__ import annotations

import signal
import sys
from typing import Any

import keras
import numpy as np

from lrdiag.backend.interrupt import Interrupt, is_in_fit


class Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Asks at the end of each batch of training and validation."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[bool] = []
        self.other = keras.callbacks.Callback()

    def _ask(self) -> None:
        frame = sys._getframe()
        self.answers.append(is_in_fit(frame, self) and not is_in_fit(frame, self.other))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._ask()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._ask()


def test_fit_is_found_on_the_stack_only_with_its_own_callbacks() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data, watch = (np.ones((4, 2)), np.ones((4, 1))), Watch()
    assert not is_in_fit(sys._getframe(), watch)
    model.fit(*data, validation_data=data, batch_size=2, verbose=0, callbacks=[watch])
    assert watch.answers == [True] * 4
    watch.answers.clear()
    model.evaluate(*data, batch_size=2, verbose=0, callbacks=[watch])
    assert watch.answers == [False] * 2


def test_ctrl_c_reaches_the_first_handler_in_whatever_order_two_listeners_stop() -> None:
    heard: list[int] = []

    def listen(number: int, _frame: Any) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGINT, listen)
    try:
        first, second = Interrupt(keras.callbacks.Callback()), Interrupt(keras.callbacks.Callback())
        first.stop_listening()
        second.stop_listening()  # restores the handler of the first
        signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is listen
    finally:
        signal.signal(signal.SIGINT, before)
