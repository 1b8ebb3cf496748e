"""Files of arrays with a record, which are read without trust: checkpoints and parts.

Such a file is an `.npz` file, which NumPy reads without lrdiag. One of its arrays is a record in MessagePack, so that
NaN and all digits of a number are kept. Reading one runs no code of it: it contains no pickled objects, and no array
may be larger than its file.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from lrdiag.formats import encodable, with_texts
from lrdiag.record.folder import replacing

UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    RecursionError,
    zipfile.BadZipFile,
    NotImplementedError,
)
"""What reading a file raises that is missing, incomplete, or of another kind."""
_RECORD = "record"
_ESCAPE = "\0"

_Record = TypeVar("_Record")


def write(file: Path, record: object, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a file. It replaces an earlier one when it is complete and on the disk.

    Args:
        file: The file. Its folder is created.
        record: A dataclass.
        arrays: Arrays of numbers, by names other than `record`.

    Raises:
        RunFolderError: If the file cannot be written.
    """
    named: dict[str, Any] = {name: storable(array) for name, array in arrays.items()}
    named[_RECORD] = np.frombuffer(_encoded(record), np.uint8)
    with suppress(OSError):  # `replacing` raises an error that says more
        file.parent.mkdir(exist_ok=True)
    with replacing(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **named)
        stream.flush()
        os.fsync(stream.fileno())  # otherwise the name may reach the disk before the content


def read_record(file: Path, kind: type[_Record]) -> _Record:
    """Reads the record of a file.

    Args:
        file: The file.
        kind: The dataclass. Fields that it does not have are left out.

    Raises:
        UNREADABLE: If it is missing, incomplete, or of another kind.
    """
    with zipfile.ZipFile(file) as archive:
        found = msgspec.msgpack.decode(_array(archive, _RECORD).tobytes())
        return msgspec.convert(with_texts(found, _unescaped), kind, builtin_types=(bytes,))


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a file, by name.

    Raises:
        UNREADABLE: If it is missing, incomplete, or of another kind.
    """
    with zipfile.ZipFile(file) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        return {name: _array(archive, name) for name in names if name != _RECORD}


def _encoded(record: object) -> bytes:
    plain = msgspec.to_builtins(record, builtin_types=(bytes,), enc_hook=_plain)
    return msgspec.msgpack.encode(with_texts(plain, _escaped))


def _escaped(text: str) -> str:
    r"""Text that MessagePack can hold. Names that are not UTF-8 must be the same when the run is resumed.

    >>> _escaped("caf\udce9")
    '\x00caf\\udce9'
    """
    if text.startswith(_ESCAPE) or encodable(text) != text:
        return _ESCAPE + text.encode("unicode_escape").decode("ascii")
    return text


def _unescaped(text: str) -> str:
    if not text.startswith(_ESCAPE):
        return text
    return text[len(_ESCAPE) :].encode("ascii", "replace").decode("unicode_escape", "replace")


def _plain(value: Any) -> Any:
    return value.tolist()  # of a number or an array of NumPy


def storable(array: np.ndarray) -> np.ndarray:
    """Returns the array, or its bytes if its type is not one of NumPy's own, such as bfloat16."""
    array = np.asarray(array, order="C")
    # `dtype.isbuiltin` is 0 for the types of arrays that another process has pickled
    return array if array.dtype.type.__module__ == "numpy" else array.view(np.dtype(f"u{array.dtype.itemsize}"))


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Reads an array. NumPy would reserve the memory that the header asks for before it reads the content."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError("compressed arrays")
    with archive.open(info) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("arrays of another version")
        shape, is_transposed, dtype = np.lib.format.read_array_header_1_0(stream)
        content = stream.read()
    if is_transposed or dtype.hasobject or len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError("arrays of another form")
    return np.frombuffer(content, dtype).reshape(shape)
