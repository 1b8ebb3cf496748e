"""Computes things beside each other, in threads. NumPy and OpenCV let other threads run while they compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def beside(compute: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Computes something in a second thread while the block is executed.

    Meanwhile, linear algebra uses one thread in each of both. Otherwise, they wait for each other's threads: two
    computations then take longer than one after the other.

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

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(1) as executor:
        yield executor.submit(compute).result
