"""Code that isn't lrdiag's: the modules that a user names, and the code in model files."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lrdiag.stopping import Terminated

_LONGEST = 300  # characters of an error
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_OURS = str(Path(__file__).parent)


@contextmanager
def foreign_code(refusal: Callable[[str], Exception]) -> Iterator[None]:
    """Turns every error of foreign code into one of lrdiag.

    That includes `sys.exit(0)`, which would end a run as if it had succeeded.

    Example:
        >>> with foreign_code(ValueError):
        ...     raise SystemExit(0)
        Traceback (most recent call last):
        ValueError: it called sys.exit(0)

    Args:
        refusal: Makes the error from a description in one line.

    Raises:
        Exception: What `refusal` returns. Ctrl-C stays a `KeyboardInterrupt`, and SIGTERM a `Terminated`.
    """
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:
        raise refusal(described(error)) from error


def described(error: BaseException) -> str:
    """Returns what was raised, and file and line of the user's code that raised it, in one line.

    Example:
        >>> described(RuntimeError("no such weights"))
        'RuntimeError: no such weights'
    """
    if isinstance(error, SystemExit):
        what = f"it called sys.exit({'' if error.code is None else repr(error.code)})"
    else:
        text = " ".join(str(error).split())
        what = f"{type(error).__name__}: {text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}".rstrip(": ")
    place = _place(error)
    return f"{what}, in {place}" if place else what


def _place(error: BaseException) -> str | None:
    """Returns file and line of the innermost call that is neither in lrdiag nor in a library, or `None`."""
    if isinstance(error, SyntaxError):
        return None  # its text has them
    calls = [call for call in traceback.extract_tb(error.__traceback__) if _is_foreign(call.filename)]
    return f"{calls[-1].filename} line {calls[-1].lineno}" if calls else None


def _is_foreign(file: str) -> bool:
    return not file.startswith((*_LIBRARIES, _OURS, "<"))
