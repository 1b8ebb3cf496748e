"""A part of an evaluation: what is kept of a slice of the images, so that all parts can be merged into one report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lrdiag.errors import PartError
from lrdiag.record import archive
from lrdiag.record.agreement import Agreement

PART = "part.npz"
MODEL = "model.keras"
"""The model, in the folder of the first part."""
FORM = 1
"""The version of the format."""
_OF_EVERY_IMAGE = ("scores", "labels", "digests")
_COLUMN, _KEYS = ".column.", ".keys"  # of `LowestRows.arrays`


@dataclass(frozen=True)
class PartRecord:
    """What is known of a part, besides its arrays.

    Attributes:
        form: The version of the format.
        lrdiag: The version of lrdiag.
        number: Which part it is, from 1.
        of: Number of parts.
        model: Identifies the weights of the model.
        data: Identifies the whole set.
        engine: Name of the Keras backend.
        options: The options of the evaluation. They are the same in all parts.
        first: Place of the first image in the set, as far as the part could know it.
        size: Number of images.
        seconds: Seconds that the evaluation took.
        opening: The structure of the first inputs of the set, whose arrays are named `opening.0` and so on. Only the
            first part has them.
        image_shape: See `PassFacts`.
        value_range: See `PassFacts`.
        agreement: See `PassFacts`.
        data_notes: See `PassFacts`.
        pass_notes: See `PassFacts`.
        class_names: The names of the classes that the user gave, or `None`.
        carried_names: The names of the classes that the data carries, or `None`.
        files: The file of each image that the user gave, or empty.
        carried_files: The file of each image that the data carries, or empty.
        is_shuffled: Whether the data says that it is shuffled; `None` if it says nothing.
        listing: How images of a source that lrdiag reads were read, or `None`.
    """

    form: int
    lrdiag: str
    number: int
    of: int
    model: str
    data: str
    engine: str
    options: dict[str, Any]
    first: int
    size: int
    seconds: float = 0.0
    opening: Any = None
    image_shape: tuple[int, int, int] = (0, 0, 0)
    value_range: tuple[float, float] = (0.0, 0.0)
    agreement: Agreement | None = None
    data_notes: tuple[str, ...] = ()
    pass_notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] | None = None
    carried_names: tuple[str, ...] | None = None
    files: tuple[str, ...] = ()
    carried_files: tuple[str, ...] = ()
    is_shuffled: bool | None = None
    listing: dict[str, Any] | None = None


@dataclass(frozen=True)
class SavedPart:
    """A part in a folder. Its arrays are read when they are needed.

    Attributes:
        folder: The folder.
        record: What is known of it.
    """

    folder: Path
    record: PartRecord = field(repr=False)

    def arrays(self) -> dict[str, np.ndarray]:
        """Reads the arrays.

        Raises:
            PartError: If the file is broken.
        """
        try:
            return archive.read_arrays(self.folder / PART)
        except archive.UNREADABLE as error:
            raise _broken(self.folder, error) from error


def write(folder: Path, record: PartRecord, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a part into a folder, which is created.

    Raises:
        RunFolderError: If the file can't be written.
    """
    archive.write(folder / PART, record, arrays)


def read(folder: Path) -> SavedPart:
    """Reads the record of a part.

    Raises:
        PartError: If the folder contains no part, or one of another version.
    """
    if not (folder / PART).is_file():
        raise PartError(
            f"A part is a folder that `lrdiag diagnose --part` or `Part.save` wrote. Received: {folder} without {PART}"
        )
    try:
        head = archive.read_record(folder / PART, _Head)
        if head.form == FORM:
            return SavedPart(folder, archive.read_record(folder / PART, PartRecord))
    except archive.UNREADABLE as error:
        raise _broken(folder, error) from error
    raise PartError(
        "Parts must be written by the version of lrdiag that merges them. Evaluate the part again. "
        f"Received: {folder}, written by lrdiag {head.lrdiag}"
    )


def require_whole(record: PartRecord, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises unless the arrays have the rows that the record says.

    Raises:
        ValueError: With the array.
        LookupError: With the array that is missing.
    """
    if not record.size and not any(name in arrays for name in _OF_EVERY_IMAGE):
        return
    for name, array in arrays.items():
        rows = _rows(name, record, arrays)
        if rows is not None and len(array) != rows:
            raise ValueError(f"{name!r} has {len(array)} rows instead of {rows}")
    labels, classes = arrays["labels"], arrays["scores"].shape[1]
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels from {labels.min()} to {labels.max()} of {classes} classes")


def _rows(name: str, record: PartRecord, arrays: Mapping[str, np.ndarray]) -> int | None:
    if name in _OF_EVERY_IMAGE:
        return record.size
    if _COLUMN in name or name.endswith(_KEYS):
        return len(_places(name.removesuffix(_KEYS).partition(_COLUMN)[0], record, arrays))
    return None


def _places(kind: str, record: PartRecord, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    places = arrays[f"{kind}.places"]
    if len(places) and not record.first <= places[0] <= places[-1] < record.first + record.size:
        raise ValueError(f"{kind!r} has places of another part")
    return places


def row_shapes(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Returns the shapes that arrays of all parts have in common, by name.

    The number of rows differs, and so does the size of the pictures of the table, which are scaled down if there are
    many.
    """
    return {name: array.shape[1:] for name, array in arrays.items() if name != "table.rows.column.pictures"}


@dataclass(frozen=True)
class _Head:
    form: int
    lrdiag: str


def _broken(folder: Path, error: Exception) -> PartError:
    reason = getattr(error, "strerror", None) or error
    return PartError(
        f"The part can't be read. Evaluate it again; the others are kept. Received: {folder / PART} ({reason})"
    )


def flattened(nest: Any) -> tuple[Any, list[np.ndarray]]:
    """Returns the structure of a nest of arrays, and its arrays.

    Example:
        >>> structure, arrays = flattened({"image": np.zeros(2), "age": np.ones(2)})
        >>> sorted(rebuilt(structure, arrays))
        ['age', 'image']
    """
    arrays: list[np.ndarray] = []
    return _structure(nest, arrays), arrays


def rebuilt(structure: Any, arrays: list[np.ndarray]) -> Any:
    """Returns the nest that `flattened` took apart."""
    kind, content = structure
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {name: rebuilt(each, arrays) for name, each in content.items()}
    parts = [rebuilt(each, arrays) for each in content]
    return tuple(parts) if kind == "tuple" else parts


def _structure(nest: Any, arrays: list[np.ndarray]) -> list[Any]:
    if isinstance(nest, Mapping):
        return ["dict", {name: _structure(each, arrays) for name, each in nest.items()}]
    if isinstance(nest, list | tuple):
        return [
            "tuple" if isinstance(nest, tuple) else "list",
            [_structure(each, arrays) for each in nest],
        ]
    arrays.append(np.asarray(nest))
    return ["array", len(arrays) - 1]
