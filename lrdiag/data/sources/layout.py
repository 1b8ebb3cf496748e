"""Finds the parts and the classes in a folder of images."""

from __future__ import annotations

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lrdiag.data.sources.decoding import COMMON, SUFFIXES
from lrdiag.data.splitting import Part, part_in, part_named
from lrdiag.errors import DataError
from lrdiag.formats import printable

LAYOUT = (
    "A folder of images must contain train/<class>/ and test/<class>/ (and optionally val/<class>/), or <class>/ "
    f"alone, with {COMMON}, for two classes or more"
)

_IGNORED = (".", "__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")  # hidden, or added by a system or an archive
_DEEPEST = 8  # folders within folders, so that circular links end


@dataclass(frozen=True)
class Layout:
    """The parts of a folder.

    Attributes:
        parts: The folder of each part, which contains its classes.
        unread: Names of other folders beside the parts, if they contain images.
    """

    parts: Mapping[Part, Path]
    unread: tuple[str, ...] = ()


def find_parts(folder: Path) -> Layout:
    """Finds the parts of a folder of images.

    The parts may be within a single folder, and the classes of a part too, as `seg_train/seg_train/<class>/`. A folder
    is a part if it is called like one and contains the folders of classes. `cats_train` and `cats_test` are parts too,
    but a single `freight_train` is not.

    Returns:
        The parts, or the whole folder as one part that is not divided.

    Raises:
        DataError: If a part exists twice, or a folder may be a part or a class.
    """
    place = _unwrapped(folder)
    names = subfolders(place)
    groups: defaultdict[str, dict[str, Part]] = defaultdict(dict)
    for name in names:
        if found := part_in(name):
            groups[found[1]][name] = found[0]
    divided = [group for rest, group in groups.items() if _are_parts(place, rest, group)]
    if not divided:
        _refuse_parts_without_classes(place, groups.values())
        return Layout({"whole": place})
    parts: dict[Part, Path] = {}
    for name, part in ((name, part) for group in divided for name, part in group.items()):
        if part in parts:
            raise DataError(
                f"A folder of images must contain each part once. Received: {printable(str(place))} with "
                f"{parts[part].name}/ and {name}/. Merge them"
            )
        parts[part] = place / name
    unread = [name for name in names if place / name not in parts.values() and _holds_images(place / name)]
    if unread and len(parts) == 1:
        (single,) = parts.values()
        raise DataError(
            f"A folder must contain parts or classes, not both. Received: {printable(str(place))}, where {single.name} "
            f"contains folders like a part, and {printable(unread[0])} contains images too. Move {unread[0]} away if "
            f"{single.name} is a part. Move the images of {single.name} out of its folders if it is a class"
        )
    return Layout({part: _unwrapped(path) for part, path in parts.items()}, tuple(map(printable, unread)))


def refuse_parts_as_classes(folder: Path, classes: Iterable[str]) -> None:
    """Raises if folders of classes contain parts, or the same folders, which are the classes then.

    Raises:
        DataError: If they do.
    """
    inner = {name: subfolders(folder / name) for name in classes}
    advice = (
        "Call the parts train, validation and test, and put the folders of the classes into them. If these are "
        "classes, move their images out of the folders in them"
    )
    for name, names in inner.items():
        if len({part_named(each) for each in names} - {None}) > 1:
            raise DataError(
                f"The folder of a class must contain its images. Received: {printable(str(folder / name))} with the "
                f"folders {_listed(names)}, which look like parts of a data set. {advice}"
            )
    counts = Counter(each for names in inner.values() for each in names)
    repeated = {name for name, count in counts.items() if count > 1}
    alike = [name for name, names in inner.items() if len(repeated & set(names)) > 1]
    if len(alike) > 1:
        raise DataError(
            "The folders of classes must not contain the same folders: these look like parts of a data set. "
            f"Received: {printable(str(folder))}, where {_listed(sorted(alike))} contain {_listed(sorted(repeated))}. "
            f"{advice}"
        )


def subfolders(folder: Path) -> list[str]:
    """Returns the names of the folders in a folder, sorted, without those that a system adds.

    Raises:
        DataError: If the folder can't be read.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise DataError(
            f"A folder of images must be readable. Received: {printable(str(folder))}: {error.strerror}"
        ) from error
    return sorted(name for name in names if not is_ignored(name) and os.path.isdir(folder / name))


def is_ignored(name: str) -> bool:
    """Returns whether a file or folder is hidden, or is not a user's own."""
    return name.startswith(_IGNORED)


def _are_parts(folder: Path, rest: str, group: Mapping[str, Part]) -> bool:
    """Returns whether folders whose names differ only by the part are parts."""
    return (not rest or len(set(group.values())) > 1) and any(subfolders(folder / name) for name in group)


def _refuse_parts_without_classes(folder: Path, groups: Iterable[Mapping[str, Part]]) -> None:
    """Raises if all folders with images are called like different parts, and contain no classes."""
    parts = {name: part for group in groups for name, part in group.items()}
    holding = [name for name in subfolders(folder) if _holds_images(folder / name)]
    if set(holding) <= set(parts) and len({parts[name] for name in holding}) > 1:
        raise DataError(
            f"{LAYOUT}. Received: {printable(str(folder))} with {_listed(holding)}, which look like parts, without "
            "folders of classes in them"
        )


def _unwrapped(folder: Path) -> Path:
    """Returns the folder that contains the classes or the parts: `folder`, or a single folder in it."""
    inner = folder
    for _ in range(_DEEPEST):
        names = subfolders(inner)
        if len(names) != 1 or _has_images(inner):
            return inner if names else folder
        repeated = names[0].lower() == inner.resolve().name.lower()
        if part_named(names[0]) and not repeated:
            return inner
        inner = inner / names[0]
    return folder


def _holds_images(folder: Path) -> bool:
    """Returns whether a folder or a folder in it contains image files."""
    with contextlib.suppress(DataError):
        return _has_images(folder) or any(_has_images(folder / name) for name in subfolders(folder))
    return False


def _has_images(folder: Path) -> bool:
    """Returns whether a folder contains image files itself. Unreadable folders are reported when they are read."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return any(not is_ignored(entry.name) and entry.name.lower().endswith(SUFFIXES) for entry in entries)
    return False


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(printable, names[:5]))
    return f"{shown} and {len(names) - 5:,} more" if len(names) > 5 else shown
