"""Running out of memory, which each engine reports by an error of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lrdiag.backend.engine import engine
from lrdiag.errors import LrdiagError, MemoryShortage


def is_shortage(error: BaseException | None) -> bool:
    """Returns whether an error, or one that it was raised for, says that memory ran out. Keras wraps some of them."""
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError) or engine().is_out_of_memory(error):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def shortage_explained() -> Iterator[None]:
    """Raises `MemoryShortage`, which says what to do, where memory runs out in the block.

    Raises:
        MemoryShortage: If memory ran out.
    """
    try:
        yield
    except LrdiagError:
        raise
    except Exception as error:
        if not is_shortage(error):
            raise
        raise MemoryShortage(
            "The memory does not suffice for so many images at once. Choose a smaller batch with `--batch-size` or "
            f"`batch_size=`, or smaller images. Received: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{f' ({lines[0][:200]})' if lines else ''}"
