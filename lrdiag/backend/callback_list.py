"""The callbacks that `fit` runs together.

Keras gives a callback no access to the list that it is in, so the list is looked up on the stack.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import keras


def running_list(callback: keras.callbacks.Callback) -> keras.callbacks.CallbackList | None:
    """Returns the list that is calling `callback`, or `None` if something else calls it."""
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList) and callback in caller.callbacks:
            return caller
        frame = frame.f_back  # type: ignore[assignment]
    return None


def move_behind(
    running: keras.callbacks.CallbackList,
    callback: keras.callbacks.Callback,
    comes_first: Callable[[keras.callbacks.Callback], bool],
) -> None:
    """Moves `callback` behind the last callback of the list that must be called before it.

    The list may be calling its callbacks at the moment: each is still called exactly once.
    """
    others = [each for each in running.callbacks if each is not callback]
    place = 1 + max((place for place, each in enumerate(others) if comes_first(each)), default=-1)
    place = max(place, running.callbacks.index(callback))
    running.callbacks = [*others[:place], callback, *others[place:]]


def move_in_front(
    running: keras.callbacks.CallbackList,
    callback: keras.callbacks.Callback,
    comes_later: Callable[[keras.callbacks.Callback], bool],
) -> None:
    """Moves the callbacks that must be called after `callback` behind it.

    The list may be calling its callbacks at the moment: each is still called exactly once.
    """
    place = running.callbacks.index(callback)
    earlier, later = running.callbacks[:place], running.callbacks[place + 1 :]
    moved = [each for each in earlier if comes_later(each)]
    running.callbacks = [*(each for each in earlier if each not in moved), callback, *moved, *later]


def surround(
    running: keras.callbacks.CallbackList, first: keras.callbacks.Callback, last: keras.callbacks.Callback
) -> None:
    """Puts a callback before and one behind all others. The list may be calling its callbacks at the moment."""
    running.callbacks = [first, *running.callbacks, last]


def append(running: keras.callbacks.CallbackList, callback: keras.callbacks.Callback) -> None:
    """Adds a callback to the end of the list. The list may be calling its callbacks at the moment."""
    running.callbacks = [*running.callbacks, callback]
