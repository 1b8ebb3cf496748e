"""Finds images and labels in tar files by their headers, without unpacking them."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from lrdiag import limits
from lrdiag.data.sources.decoding import SUFFIXES
from lrdiag.data.sources.encoded import reason
from lrdiag.data.sources.places import Place
from lrdiag.errors import DataError, LrdiagError
from lrdiag.formats import printable

_BLOCK = 512  # bytes
_FIELDS = ("label", "cls", "class", "target")
_NUMBER = re.compile(r"\d+")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass
class _Sample:
    """The members of one key that were found so far."""

    key: str
    images: list[tuple[str, int, int]] = field(default_factory=list)
    labels: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Member:
    """An image in a tar file.

    Attributes:
        name: The name of the member.
        start: Its first byte in the file.
        size: Number of bytes.
        label: The label of the image.
    """

    name: str
    start: int
    size: int
    label: int | str


def members_of(place: Place, image: str | None, label: str | None) -> Iterator[Member]:
    """Yields the images of a tar file in their order, from one pass over its headers.

    Args:
        place: The file.
        image: The suffix of the images, such as `jpg`. `None` takes every image.
        label: The field of the JSON that contains the label. `None` takes `.cls`, or a field with a common name.

    Raises:
        DataError: If the file is damaged, a member isn't a file within the archive, or an image has no label.
    """
    wanted = SUFFIXES if image is None else (f".{image.lstrip('.').lower()}",)
    sample = _Sample("")
    with place.open() as raw:
        for info in _files(raw, place):
            folder, slash, base = info.name.rpartition("/")
            stem, _, kind = base.partition(".")
            key = folder + slash + stem
            if key != sample.key:
                yield from _image_of(sample, label, place)
                sample = _Sample(key)
            if f".{kind.lower()}" in wanted:
                sample.images.append((info.name, info.offset_data, info.size))
            elif kind in ("cls", "json"):
                limits.LABEL_BYTES.require(info.size, f"The label {printable(info.name)} in {place.shown}")
                raw.seek(info.offset_data)
                sample.labels[kind] = raw.read(info.size)
        yield from _image_of(sample, label, place)


def _files(raw: BinaryIO, place: Place) -> Iterator[tarfile.TarInfo]:
    """Yields the headers of the files, and checks that they are within the archive, and that it is complete."""
    size = place.size
    try:
        with tarfile.open(fileobj=raw, mode="r:") as archive:
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep all
                _require_harmless(info, size, place)
                if info.isreg():
                    yield info
            raw.seek(archive.offset)
            end = raw.read(_BLOCK)
    except LrdiagError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise _damaged(place, reason(error)) from error
    if end != bytes(_BLOCK):
        raise _damaged(place, f"it ends or is damaged at byte {min(archive.offset, size):,}")


def _require_harmless(info: tarfile.TarInfo, size: int, place: Place) -> None:
    parts = re.split(r"[\\/]", info.name)
    problem = None
    if info.name.startswith(("/", "\\")) or _DRIVE.match(info.name) or ".." in parts:
        problem = "whose name leads out of the archive"
    elif info.issparse():
        problem = "a sparse file"
    elif not (info.isreg() or info.isdir()):
        problem = "a link or device"
    elif info.isreg() and not 0 <= info.size <= size - info.offset_data:
        raise _damaged(place, f"{printable(info.name)} declares {info.size:,} bytes, more than are left")
    if problem:
        raise DataError(
            "A tar file of images must contain plain files and folders only. Write it again without others. "
            f"Received: {printable(info.name):.200} in {place.shown}, {problem}"
        )


def _damaged(place: Place, received: str) -> DataError:
    return DataError(
        "A tar file of images must be complete and not compressed. Write or copy it again. "
        f"Received: {place.shown}: {received}"
    )


def _image_of(sample: _Sample, label: str | None, place: Place) -> Iterator[Member]:
    if not sample.images:
        return
    shown = f"{printable(sample.key):.200} in {place.shown}"
    if len(sample.images) > 1:
        raise DataError(
            "Each key of a tar file must have one image. Choose it by its suffix with --image-column. "
            f"Received: {' and '.join(printable(name) for name, _, _ in sample.images[:5])} in {place.shown}"
        )
    ((name, start, size),) = sample.images
    yield Member(name, start, size, _label(sample.labels, label, shown))


def _label(labels: dict[str, bytes], wanted: str | None, shown: str) -> int | str:
    if "cls" in labels and wanted in (None, "cls"):
        text: Any = labels["cls"].decode("utf-8", "replace").strip()
    else:
        text = _field(labels.get("json"), wanted)
    if isinstance(text, str) and _NUMBER.fullmatch(text):
        text = int(text)
    if not isinstance(text, str | int) or isinstance(text, bool) or text == "":
        fields = wanted or ", ".join(_FIELDS)
        raise DataError(
            f"Each image of a tar file needs a label: a member .cls, or .json with a field {fields}, which contains a "
            f"name or a number. Add it, or name the field with --label-column. Received: {shown}, without a label"
        )
    return text


def _field(raw: bytes | None, wanted: str | None) -> Any:
    try:
        fields = json.loads(raw or b"null")
    except (ValueError, RecursionError):
        return None
    names = _FIELDS if wanted is None else (wanted,)
    return next((fields[name] for name in names if name in fields), None) if isinstance(fields, dict) else None
