"""Computes things beside each other, in threads. NumPy and OpenCV let other threads run while they compute."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def beside(compute: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Computes something in a second thread while the block is executed.

    Meanwhile, linear algebra uses one thread in each of both. Otherwise, they wait for each other's threads: two
    computations then take longer than one after the other. An error in the block doesn't wait for the second thread.

    Example:
        >>> with beside(lambda: sum(range(5))) as total:
        ...     largest = max(range(5))
        >>> largest, total()
        (4, 10)

    Args:
        compute: Computes the result. It must not depend on what the block does.

    Yields:
        A function that waits for the result, and returns it or raises what `compute` raised.
    """
    from threadpoolctl import threadpool_limits

    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(compute())
        except BaseException as error:  # `result` raises it
            future.set_exception(error)

    with threadpool_limits(1, "blas"):
        # A daemon, and not a thread of an executor, which Python waits for even after Ctrl-C
        threading.Thread(target=run, daemon=True).start()
        yield future.result
        wait([future])
