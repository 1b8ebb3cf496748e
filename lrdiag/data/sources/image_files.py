"""Image files and their labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lrdiag.data.listed import digest_of
from lrdiag.data.sources.decoding import Decoded, decode
from lrdiag.data.sources.encoded import Chunk


@dataclass(frozen=True)
class LabelledFiles:
    """Image files and their labels, as `EncodedImages`.

    Attributes:
        folder: The folder that the names are relative to.
        names: Their paths, relative to the folder or absolute.
        labels: Indices into the classes, an `int64` array of shape `(n,)`.
    """

    folder: Path
    names: Sequence[str]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def digest(self) -> str:
        """That of names and labels."""
        return digest_of(self.labels, *self.names)

    def chunks(self, start: int, stop: int, length: int) -> Iterator[Chunk]:
        """Yields files, at most `length` at a time. They are opened when they are decoded."""
        for first in range(start, stop, length):
            places = slice(first, min(first + length, stop))
            yield Chunk(self.names[places], self.labels[places], _Decoder(self.folder, self.names[places]))


@dataclass(frozen=True)
class _Decoder:
    folder: Path
    names: Sequence[str]

    def __call__(self, place: int) -> Decoded:
        return decode(os.path.join(self.folder, self.names[place]))
