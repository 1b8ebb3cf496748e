"""The list of callbacks. The tests fail if Keras calls callbacks in another way."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from lrdiag.backend.callback_list import append, move_behind, move_in_front, running_list


class Notes(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes when it is called."""

    def __init__(self, name: str, notes: list[str]) -> None:
        super().__init__()
        self.name, self.notes = name, notes

    def on_train_begin(self, logs: Any = None) -> None:
        self.notes.append(f"{self.name} begins")

    def on_train_end(self, logs: Any = None) -> None:
        self.notes.append(f"{self.name} ends")


class Mover(Notes):
    """Moves behind the callback named `b`, and adds one at the end."""

    def on_train_begin(self, logs: Any = None) -> None:
        super().on_train_begin(logs)
        running = running_list(self)
        assert running is not None
        move_behind(running, self, lambda each: getattr(each, "name", "") == "b")
        append(running, Notes("last", self.notes))


def test_a_callback_moves_while_the_list_is_called_and_each_is_called_once() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    notes: list[str] = []
    callbacks = [Notes("a", notes), Mover("mover", notes), Notes("b", notes), Notes("c", notes)]
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0, callbacks=callbacks)
    assert notes == [
        *("a begins", "mover begins", "b begins", "c begins"),
        *("a ends", "b ends", "mover ends", "c ends", "last ends"),
    ]


def test_a_callback_stays_behind_the_ones_it_follows_already() -> None:
    notes: list[str] = []
    first, second = Notes("b", notes), Notes("a", notes)
    running = keras.callbacks.CallbackList([first, second])
    move_behind(running, second, lambda each: each is first)
    assert running.callbacks == [first, second]
    assert running_list(second) is None


def test_callbacks_that_come_later_move_behind() -> None:
    a, mover, b, c = (Notes(name, []) for name in ("a", "mover", "b", "c"))
    running = keras.callbacks.CallbackList([a, b, mover, c])
    move_in_front(running, mover, lambda each: each in (a, c))
    assert [each.name for each in running.callbacks] == ["b", "mover", "a", "c"]
