"""Whether `fit` is running, determined from the stack. The tests fail if Keras renames `fit` or its variables."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import keras
import numpy as np
import pytest
from fixtures.signals import default_handlers

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


class At(keras.callbacks.Callback):  # type: ignore[misc]
    """Does something in `fit`, with an `Interrupt` that listens."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act = act

    def on_train_begin(self, logs: Any = None) -> None:
        interrupt = Interrupt(self)
        try:
            self.act(interrupt)
        finally:
            interrupt.stop_listening()


def fit_with(act: Any) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with default_handlers():
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0, callbacks=[At(act)])


def test_sigterm_is_recorded_and_its_default_is_restored() -> None:
    def act(interrupt: Interrupt) -> None:
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.number == signal.SIGTERM
        interrupt.stop_listening()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    fit_with(act)


def test_a_handler_of_the_user_for_sigterm_is_kept() -> None:
    heard: list[int] = []

    def act(interrupt: Interrupt) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
        Interrupt(interrupt._callback)
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]

    fit_with(act)


def test_a_held_second_signal_stops_at_the_release_and_a_third_one_at_once() -> None:
    def act(interrupt: Interrupt) -> None:
        interrupt.hold()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupt.release()
        other = Interrupt(interrupt._callback)
        other.hold()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    fit_with(act)


def test_a_block_is_stopped_when_its_seconds_have_passed_since_the_signal() -> None:
    def act(interrupt: Interrupt) -> None:
        with interrupt.limited(0.0):  # no signal, no limit
            time.sleep(0.25)
        with interrupt.limited(30.0):
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.25)
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt), interrupt.limited(0.1):
            time.sleep(5)
        assert time.monotonic() - begun < 4

    fit_with(act)
