"""Where files are: on disk, or behind a URL that fsspec reads."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, cast

from lrdiag.data.sources.libraries import require
from lrdiag.errors import DataError
from lrdiag.formats import printable

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # a drive of Windows has one letter
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST_FILES = 1_000_000


@dataclass(frozen=True)
class Place:
    """A file, a folder, or a pattern of files.

    Example:
        >>> Place("shards/test-{000..002}.tar").alternatives[-1], Place("s3://bucket/test.parquet").is_url
        ('shards/test-002.tar', True)

    Attributes:
        text: A path or a URL, perhaps with `*`, `?`, `[...]` or braces as a shell has them.
    """

    text: str

    @property
    def is_url(self) -> bool:
        """Whether fsspec reads it."""
        return bool(_URL.match(self.text))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return re.split(r"[\\/]", self.text.rstrip("/\\"))[-1]

    @property
    def shown(self) -> str:
        """The text, for a message. User and password of a URL are left out."""
        return printable(re.sub(r"://[^/@]*@", "://", self.text))

    def open(self) -> BinaryIO:
        """Opens the file for reading bytes."""
        if not self.is_url:
            return open(self.text, "rb")
        with _explained(self):
            return cast(BinaryIO, self._system[0].open(self._system[1], "rb"))

    def read(self, start: int, stop: int) -> bytes:
        """Reads a piece of the file."""
        if self.is_url:
            return bytes(self._system[0].cat_file(self._system[1], start=start, end=stop))
        with open(self.text, "rb", buffering=0) as file:
            file.seek(start)
            return file.read(stop - start)

    @property
    def is_file(self) -> bool:
        """Whether there is such a file."""
        return self._system[0].isfile(self._system[1]) if self.is_url else os.path.isfile(self.text)

    @property
    def is_folder(self) -> bool:
        """Whether there is such a folder."""
        return self._system[0].isdir(self._system[1]) if self.is_url else os.path.isdir(self.text)

    @property
    def size(self) -> int:
        """Number of bytes of the file."""
        return int(self._system[0].size(self._system[1])) if self.is_url else os.path.getsize(self.text)

    def below(self, *names: str) -> Place:
        """Returns a place in this folder."""
        return Place("/".join([self.text.rstrip("/"), *names]))

    def beside(self, name: str) -> Place:
        """Returns a place in the folder that contains this one."""
        return Place(self.text[: len(self.text.rstrip("/\\")) - len(self.name)] + name)

    @cached_property
    def alternatives(self) -> list[str]:
        """The texts that braces stand for, in order: `{a,b}`, and `{000..123}`."""
        pieces = [_choices(piece) if odd % 2 else [piece] for odd, piece in enumerate(_BRACES.split(self.text))]
        number = 1
        for piece in pieces:
            number *= len(piece)
        if number > _MOST_FILES:
            raise DataError(f"Braces may stand for {_MOST_FILES:,} files. Received: {number:,} in {self.shown}")
        return ["".join(chosen) for chosen in product(*pieces)]

    def files(self, suffixes: Sequence[str]) -> list[Place]:
        """Returns the files with these suffixes: in the folder or its folder `data`, of the pattern, or this file.

        Files that braces name and that don't exist are included, so that reading them is an error.
        """
        if self.is_folder:
            folder = self if self.is_url else Place(glob.escape(self.text))
            inside = (folder.below("*"), folder.below("data", "*"))
            found = next((found for place in inside if (found := _with(place._globbed(), suffixes))), [])
            return [Place(text) for text in found]
        if not _with([self.text], suffixes):
            return []
        if self.alternatives == [self.text] and (not glob.has_magic(self.text) or self.is_file):
            return [self] if self.is_file else []
        texts = [found for text in self.alternatives for found in Place(text)._globbed()]
        return [Place(text) for text in _with(texts, suffixes)]

    def _globbed(self) -> list[str]:
        if not glob.has_magic(self.text):
            return [self.text]
        if not self.is_url:
            return sorted(glob.glob(self.text))
        system, path = self._system
        return sorted(system.unstrip_protocol(found) for found in system.glob(path))

    @cached_property
    def _system(self) -> tuple[Any, str]:
        core = require("fsspec.core", "fsspec", f"The URL {self.shown}")
        with _explained(self):
            system, path = core.url_to_fs(self.text)
            return system, path


class _explained:
    """Turns the errors of fsspec and its packages, which have no common class, into one."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, DataError) or not isinstance(error, Exception):
            return
        if isinstance(error, ImportError):
            raise DataError(
                "A URL needs the package of its protocol: s3fs for s3://, gcsfs for gs://, adlfs for az://. "
                f"Install it. Received: {self._place.shown}: {printable(str(error))}"
            ) from error
        raise DataError(
            f"A URL must name a file that can be read. Check it, and the rights to read it. Received: "
            f"{self._place.shown}: {type(error).__name__}: {printable(str(error))}"
        ) from error


def place_of(data: str) -> Place:
    """Returns the place that a user names. A tilde is the home folder."""
    return Place(data if _URL.match(data) else os.path.expanduser(data))


def named(place: Place) -> str:
    """Returns the name of data in the report: that of its folder or file, without suffix and pattern."""
    stem = Path(place.name).stem
    return printable(re.sub(r"[-_.]?[{*?\[].*", "", stem) or "data")


def _choices(inner: str) -> list[str]:
    if bounds := _RANGE.fullmatch(inner):
        first, last = bounds.groups()
        return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return inner.split(",")


def _with(texts: Sequence[str], suffixes: Sequence[str]) -> list[str]:
    return [text for text in texts if text.lower().endswith(tuple(suffixes))]


def lines(place: Place) -> Iterator[str]:
    """Yields the lines of a small text file in UTF-8 that are not empty."""
    with place.open() as file:
        for line in file.read(2**24).decode("utf-8-sig").splitlines():
            if line.strip():
                yield line.strip()
