"""stdout and stderr that never break a run: closed, full, a closed pipe, or in an encoding without some characters.

A run takes hours, and its result is in its files. What cannot be printed must not lose them, nor the outcome of a gate.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

import click

from lrdiag import formats

UNWRITABLE = 1
"""Exit code if all went well, but stdout could not be written, for example because a disk is full."""

_NOBODY_READS = (errno.EPIPE, errno.EBADF, errno.EINVAL)  # EINVAL: a closed pipe on Windows
_PLAINER = {"−": "-", "–": "-", "×": "x", "…": "...", "·": "-", "≤": "<=", "≥": ">=", "→": "->", "“": '"', "”": '"'}
_PLAINER |= {"’": "'", "━": "-", "╸": "-", "╺": "-", "│": "|", "─": "-", "\u200b": "", "\u2068": "", "\u2069": ""}
_ERRORS = "lrdiag.plainer"


def say(text: str, *, err: bool = False) -> None:
    """Prints one line of text from outside, on stdout or stderr."""
    click.echo(formats.for_terminal(text), err=err)


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Replaces stdout and stderr by streams that raise no error. Reports at the end if stdout could not be written.

    Raises:
        SystemExit: With `UNWRITABLE` if stdout could not be written and the block ended well.
    """
    with suppress(OSError):  # there is no null device
        _open_missing()
    codecs.register_error(_ERRORS, _plainer)
    before = sys.stdout, sys.stderr
    stdout = _guarded(before[0])
    sys.stdout, sys.stderr = _text(before[0], stdout), _text(before[1], _guarded(before[1]))
    code: object = None
    try:
        yield
    except SystemExit as error:
        code = error.code
        raise
    except BaseException:
        code = UNWRITABLE
        raise
    finally:
        sys.stdout.flush()
        problem = None if stdout is None else stdout.problem
        if problem is not None and problem.errno in _NOBODY_READS:
            problem = None
        if problem is not None:
            say(f"Error: stdout cannot be written: {problem.strerror or problem}", err=True)
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
        if problem is not None and not code:
            sys.exit(UNWRITABLE)


def _open_missing() -> None:
    """Opens the null device for stdin, stdout and stderr if they are closed.

    Otherwise the next file that is opened would take the place of stderr, and native code would write messages into it.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)


class _Guarded(io.RawIOBase):
    """The bytes of a stream. Bytes that cannot be written are lost.

    Attributes:
        problem: The first error.

    Args:
        raw: The stream, or `None` if it was closed when Python started.
    """

    def __init__(self, raw: io.RawIOBase | None) -> None:
        self._raw = raw
        self.problem: OSError | None = None

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._raw is not None and self._raw.isatty()

    def fileno(self) -> int:
        return super().fileno() if self._raw is None else self._raw.fileno()

    def write(self, content: Any) -> int:
        size = memoryview(content).nbytes
        if self._raw is None or self.problem is not None:
            return size
        try:
            written = self._raw.write(content)
        except OSError as error:
            self.problem = error
            return size
        return size if written is None else written


def _guarded(stream: TextIO | None) -> _Guarded | None:
    """Returns the guarded bytes of a stream, or `None` if it has none, as one that a test has replaced."""
    if stream is None:
        return _Guarded(None)
    buffer = getattr(stream, "buffer", None)
    raw = buffer if isinstance(buffer, io.RawIOBase) else getattr(buffer, "raw", None)  # the former with `python -u`
    return None if raw is None else _Guarded(raw)


def _text(stream: Any, raw: _Guarded | None) -> TextIO:
    """Returns the text of guarded bytes, in the encoding of `stream`; `stream` itself if its bytes are not guarded."""
    if raw is None:
        return cast(TextIO, stream)
    if stream is not None:
        with suppress(OSError):
            stream.flush()
    encoding = getattr(stream, "encoding", "utf-8")
    kind = _Ascii if codecs.lookup(encoding).name == "ascii" else io.TextIOWrapper
    return kind(
        io.BufferedWriter(raw),
        encoding,
        _ERRORS,
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )


class _Ascii(io.TextIOWrapper):
    """Text in ASCII. Click would write UTF-8 into its `buffer`, because it takes ASCII for an oversight."""

    @property
    def buffer(self) -> Any:
        raise AttributeError("buffer")


def _plainer(error: UnicodeError) -> tuple[str, int]:
    r"""Spells characters that an encoding does not have: a minus as a hyphen, others as `\u2603`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAINER[each] if each in _PLAINER else ascii(each)[1:-1] for each in text), error.end
