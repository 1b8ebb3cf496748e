"""Finds damage in JPEG files that decoders hide: they fill in or skip what does not fit, and report nothing.

A JPEG has no checksums, but its parts must fit together. The marker that ends each scan must be one that may follow,
restart markers must count up, a progressive image must have all its scans, and the blocks must use up the data exactly.
See ITU-T T.81.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from math import ceil

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\xff\xd8\xff"

_SOI, _EOI, _SOS, _DRI, _TEM, _APP1 = 0xD8, 0xD9, 0xDA, 0xDD, 0x01, 0xE1
_RESTARTS = range(0xD0, 0xD8)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_MAY_FOLLOW_A_SCAN = {0xC4, _EOI, _SOS, 0xDB, 0xDC, _DRI, *range(0xE0, 0xF0), 0xFE}
_COEFFICIENTS = 64  # of a block
_SUSPICIOUS = 72  # bytes that repeat the same 8 bytes: rare in an intact file
_LONGEST_EMPTY = 4  # bits: the most that a block of an empty area takes in a scan, if all such blocks are alike
_TAIL = 8  # bytes: the last block of an intact file needs the last of them
_GREY = 128  # value of a block without data
_MARKER = re.compile(rb"\xff[^\x00\xff]")  # 0xFF 0x00 is data, and further 0xFF are fill bytes


@dataclass
class Jpeg:
    """The structure of a JPEG file.

    Attributes:
        height: In pixels, as stored.
        width: In pixels, as stored.
        progressive: Whether several scans refine each other.
        scans: Start and end of the entropy-coded data of each scan.
        restarts: Whether restart markers divide the data of a scan.
        turned: Whether EXIF says that the image is stored mirrored or rotated.
        problem: Why it is damaged, or `None`.
    """

    height: int = 0
    width: int = 0
    progressive: bool = False
    scans: list[tuple[int, int]] = field(default_factory=list)
    restarts: bool = False
    turned: bool = False
    problem: str | None = None
    _sampling: list[tuple[int, int]] = field(default_factory=list)
    _missing_bits: dict[int, list[int]] = field(default_factory=dict)

    @property
    def sequential(self) -> bool:
        """Whether the data is a single sequence, so that Pillow can decode a part of it."""
        from PIL import ImageFile

        return not self.progressive and len(self.scans) == 1 and not ImageFile.LOAD_TRUNCATED_IMAGES

    def read_frame(self, segment: bytes, *, progressive: bool) -> None:
        """Reads a start of frame: size and components."""
        self.height, self.width = int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5])
        self.progressive = progressive
        for place in range(6, 6 + 3 * segment[5], 3):
            name, sampling = segment[place], segment[place + 1]
            self._sampling.append((sampling >> 4, sampling & 15))
            self._missing_bits[name] = [1] * (_COEFFICIENTS if progressive else 1)

    @property
    def blocks(self) -> int:
        """Number of blocks of 8 × 8 pixels in all components."""
        across, down = max(x for x, _ in self._sampling), max(y for _, y in self._sampling)
        units = ceil(self.width / (8 * across)) * ceil(self.height / (8 * down))
        return units * sum(x * y for x, y in self._sampling)

    def read_scan_header(self, segment: bytes) -> None:
        """Reads which coefficients a scan contains, and how many of their bits it leaves out."""
        count = segment[0]
        first, last, bits = segment[1 + 2 * count : 4 + 2 * count] if self.progressive else (0, 0, 0)
        for component in segment[1 : 1 + 2 * count : 2]:
            self._missing_bits[component][first : last + 1] = [bits & 15] * (last - first + 1)

    def close_scan(self, restarts: list[int], following: int) -> None:
        """Checks the restart markers of a scan and the marker after it."""
        if following not in _MAY_FOLLOW_A_SCAN:
            self.problem = "its image data contains a marker that may not be there"
        elif restarts and (not self.restarts or restarts != [number % 8 for number in range(len(restarts))]):
            self.problem = "restart markers are missing from its image data"

    def close(self) -> None:
        """Checks at the end marker that every coefficient is known."""
        if self.problem is None and any(map(any, self._missing_bits.values())):
            self.problem = "some of its scans are missing"


def examine(data: bytes) -> Jpeg | None:
    """Reads the structure of a JPEG file, without decoding it.

    Returns:
        The structure, or `None` if it has no frame or no end.
    """
    jpeg, place = Jpeg(), 2
    try:
        while True:
            if data[place] != 0xFF:
                return None
            code = data[place + 1]
            if code == 0xFF:  # fill bytes may precede a marker
                place += 1
                continue
            if code == _EOI:
                jpeg.close()
                return jpeg if jpeg.scans and jpeg.width and jpeg.height else None
            if code in (_SOI, _TEM) or code in _RESTARTS:
                place += 2
                continue
            end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
            segment = data[place + 4 : end]
            if code in _FRAMES:
                jpeg.read_frame(segment, progressive=code in _PROGRESSIVE)
            elif code == _DRI:
                jpeg.restarts = segment[:2] != b"\0\0"
            elif code == _APP1 and segment.startswith(b"Exif\0\0"):
                jpeg.turned = _says_turned(segment)
            elif code == _SOS:
                jpeg.read_scan_header(segment)
                start, end = end, _end_of_scan(data, end, jpeg)
                jpeg.scans.append((start, end))
                if jpeg.problem:
                    return jpeg
            place = end
    except (IndexError, KeyError, ValueError):  # it ends in the middle, or a segment is damaged
        return None


def hidden_damage(data: bytes, jpeg: Jpeg) -> str | None:
    """Returns why a JPEG file with a complete structure is damaged, or `None`."""
    if jpeg.problem:
        return jpeg.problem
    repeated = max(_repetition(data, start, end) for start, end in jpeg.scans)
    if repeated < _SUSPICIOUS:
        return None
    if jpeg.sequential:
        return _misfit(data, jpeg)
    longest = max(_SUSPICIOUS, jpeg.blocks * _LONGEST_EMPTY // 8)
    return f"{repeated:,} bytes of its image data repeat each other" if repeated > longest else None


def damage_seen(data: bytes, jpeg: Jpeg, pixels: npt.NDArray[np.uint8]) -> str | None:
    """Returns why a JPEG file is damaged if the decoded image has the grey corner of missing data, or `None`."""
    grey = pixels.shape[2] * [_GREY]
    has_grey_corner = any(pixels[row, column].tolist() == grey for row in (0, -1) for column in (0, -1))
    return _misfit(data, jpeg) if has_grey_corner and jpeg.sequential else None


def _misfit(data: bytes, jpeg: Jpeg) -> str | None:
    """Decodes an image with less and with more data than it has, which shows whether it uses its data exactly."""
    end = jpeg.scans[0][1]
    if not _decodes(data[:end] + bytes(2 * _TAIL)):
        return "its image data ends too early"
    return "its image data is longer than the image" if _decodes(data[: end - _TAIL]) else None


def _decodes(data: bytes) -> bool:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.draft("L", (1, 1))  # an eighth of the size: the data is decoded, the pixels hardly
            image.load()
    except OSError:
        return False
    return True


def _end_of_scan(data: bytes, start: int, jpeg: Jpeg) -> int:
    restarts: list[int] = []
    while found := _MARKER.search(data, start):
        start, code = found.start(), data[found.start() + 1]
        if code not in _RESTARTS:
            jpeg.close_scan(restarts, code)
            return start
        restarts.append(code - _RESTARTS[0])
        start += 2
    raise IndexError("the scan has no end")


def _repetition(data: bytes, start: int, end: int) -> int:
    """Returns the length of the longest part of the data that consists of the same 8 bytes."""
    words = np.frombuffer(data, np.uint64, (end - start) // 8, start)
    different = words[1:] != words[:-1]
    if different.all():
        return 0
    ends = np.flatnonzero(np.concatenate([[True], different, [True]]))
    return 8 * int(np.diff(ends).max())


def _says_turned(exif: bytes) -> bool:
    from PIL import ExifTags, Image

    try:
        tags = Image.Exif()
        tags.load(exif)
        return tags.get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # damaged tags can raise anything, and then nothing is turned
        return False
