"""How much lrdiag reads: what a file may hold at most, checked before it is decoded or memory is allocated.

A file of a few bytes can declare more than any memory holds. The limits are far above what real data needs. If yours is
larger, set the environment variable that the message names.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass

from lrdiag.errors import DataError, LrdiagError, SettingsError
from lrdiag.formats import printable

_PREFIX = "LRDIAG_MAX_"


@dataclass(frozen=True)
class Limit:
    """The most that is read of one kind.

    Example:
        >>> Limit("TABLE_COLUMNS", 10_000, "columns").excess(12_000)
        '12,000 columns are more than 10,000. Set LRDIAG_MAX_TABLE_COLUMNS=12000 if you trust this file'

    Attributes:
        name: The environment variable, without `LRDIAG_MAX_`.
        default: The limit if the variable is not set.
        unit: What is counted.
    """

    name: str
    default: int
    unit: str

    @property
    def variable(self) -> str:
        """The environment variable that sets another limit."""
        return _PREFIX + self.name

    @property
    def value(self) -> int:
        """The limit.

        Raises:
            SettingsError: If the variable is set and is not a positive whole number.
        """
        text = os.environ.get(self.variable)
        if text is None:
            return self.default
        if not text.isdecimal() or not int(text):
            raise SettingsError(f"`{self.variable}` must be a positive whole number. Received: {text!r:.80}")
        return int(text)

    def excess(self, received: int) -> str | None:
        """Returns why `received` is too much and what to do, or `None` if it is within the limit."""
        limit = self.value
        if received <= limit:
            return None
        return (
            f"{received:,} {self.unit} are more than {limit:,}. Set {self.variable}={received} if you trust this file"
        )

    def require(self, received: int, what: str, error: type[LrdiagError] = DataError) -> None:
        """Raises `error` if `received` is too much. `what` names the file."""
        if problem := self.excess(received):
            raise error(f"{what} is too large: {problem}")


IMAGE_PIXELS = Limit("IMAGE_PIXELS", 178_956_970, "pixels")  # as in Pillow
IMAGE_BYTES = Limit("IMAGE_BYTES", 2**30, "bytes")
JPEG_SCANS = Limit("JPEG_SCANS", 500, "scans")  # a progressive file has about ten, and each takes a pass over the image
ARRAY_BYTES = Limit("ARRAY_BYTES", 2**36, "bytes")  # of one array
COMPRESSION = Limit("COMPRESSION", 500, "bytes for each byte of the archive")  # binary images of shapes: 120
BATCH_BYTES = Limit("BATCH_BYTES", 2**28, "bytes")  # of a file of CIFAR-10, which has 31 million
TABLE_BYTES = Limit("TABLE_BYTES", 2**30, "bytes")
TABLE_ROWS = Limit("TABLE_ROWS", 50_000_000, "rows")
TABLE_COLUMNS = Limit("TABLE_COLUMNS", 10_000, "columns")
TABLE_LINE = Limit("TABLE_LINE", 2**24, "characters in a line")
TABLE_CELL = Limit("TABLE_CELL", 2**17, "characters in a cell")
ROW_GROUP_BYTES = Limit("ROW_GROUP_BYTES", 2**34, "bytes in a row group")  # which is read page by page
LABEL_BYTES = Limit("LABEL_BYTES", 2**20, "bytes")  # of a member of a tar file that contains the label of an image
OPTIONS_BYTES = Limit("OPTIONS_BYTES", 2**20, "bytes")
"""Of an options file."""

MOST_MISTAKES = 2_500
"""Misclassified images that report.json describes and the page shows: those with the highest loss. Both stay below 3
MiB however many there are."""
LARGE_IMAGE = 32_000_000
"""Pixels of an image that is decoded while no other of such size is. A decoder needs up to ten bytes for each."""
_HARMLESS = 2**28  # bytes that an archive may always hold


def require_sound_archive(archive: zipfile.ZipFile, what: str, error: type[LrdiagError] = DataError) -> None:
    """Raises if a zip archive would unpack to very much more than it is: a zip bomb.

    Args:
        archive: The archive. Only its directory is read.
        what: Names the file, as the beginning of a sentence.
        error: The class of the error.
    """
    members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    packed = max(1, sum({member.header_offset: member.compress_size for member in members}.values()))
    if unpacked > _HARMLESS and (problem := COMPRESSION.excess(unpacked // packed)):
        largest = max(members, key=lambda member: member.file_size)
        raise error(
            f"{what} is compressed too much, as a zip bomb is: {problem}. "
            f"Received: {printable(largest.filename):.80} of {largest.file_size:,} bytes"
        )
