"""What Ctrl-C and SIGTERM raise."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import Any

import pytest
from fixtures.signals import default_handlers

from lrdiag.stopping import ENDING, Terminated, signals_held, signals_raised


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGINT, *ENDING)]


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_each_signal_has_its_exception_and_the_handlers_are_restored(number: int, error: type[BaseException]) -> None:
    with default_handlers():
        before = handlers()
        with pytest.raises(error) as raised, signals_raised(), signals_raised():
            signal.raise_signal(number)
        assert handlers() == before
    assert getattr(raised.value, "code", None) == (143 if number == signal.SIGTERM else None)


def hide_a_signal() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except Terminated:
        raise ValueError from None


def test_an_error_that_hides_the_exception_is_replaced_and_others_are_not() -> None:
    with default_handlers():
        with pytest.raises(Terminated), signals_raised():
            hide_a_signal()
        with pytest.raises(ValueError, match="own"), signals_raised():
            raise ValueError("own")


def test_a_signal_whose_exception_gets_lost_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a finalizer, whose exceptions Python ignores."""
    monkeypatch.setattr("lrdiag.stopping._PATIENCE", 0.05)

    def lose_it() -> None:
        with contextlib.suppress(Terminated):
            signal.raise_signal(signal.SIGTERM)
        time.sleep(5)

    with default_handlers(), pytest.raises(Terminated), signals_raised():
        lose_it()


def test_a_signal_waits_for_the_end_of_an_import() -> None:
    seen = []

    def imported() -> None:
        with signals_held():
            signal.raise_signal(signal.SIGTERM)
            seen.append("imported")

    with default_handlers():
        before = handlers()
        with pytest.raises(Terminated), signals_raised():
            imported()
        assert handlers() == before
    assert seen == ["imported"]


def test_ignored_signals_and_handlers_of_the_user_are_kept() -> None:
    heard = []
    with default_handlers():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
        with signals_raised():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]


def test_other_threads_leave_the_handlers_alone() -> None:
    before, inside = handlers(), []

    def run() -> None:
        with signals_raised():
            inside.extend(handlers())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert inside == before
