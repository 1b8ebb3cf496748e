"""Checkpoint files: every digit is kept, an incomplete file replaces none, and reading one is safe."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from lrdiag.errors import RunFolderError
from lrdiag.record import unfinished

ARRAYS = [
    np.float32(0.1),
    np.array([math.nan, -0.0, math.inf, 1e-45], "float32"),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array([[1, 2**32 - 1]], "uint32"),
    np.array([True, False]),
    np.zeros((0, 3), "int64"),
    np.array([1.5, -2.25], ml_dtypes.bfloat16),
]


@dataclass(frozen=True)
class Record:
    numbers: list[float]
    words: dict[str, str | None]
    raw: bytes


RECORD = Record([0.1, math.inf, 1 / 3], {"é": None, "caf\udce9": "\0x", "line": "a\nb\\n"}, b"\x00\xff")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / unfinished.CHECKPOINT
    unfinished.write(file, RECORD, [np.asarray(each) for each in ARRAYS])
    return file


def read(file: Path) -> list[np.ndarray]:
    return unfinished.read_arrays(file, [np.zeros_like(each) for each in ARRAYS])


def test_record_and_arrays_are_read_as_they_were_written(file: Path) -> None:
    assert unfinished.read(file, Record) == RECORD
    for found, array in zip(read(file), ARRAYS, strict=True):
        assert (found.shape, found.dtype, found.tobytes()) == (array.shape, array.dtype, np.asarray(array).tobytes())


def test_nan_and_numbers_of_numpy_are_kept(tmp_path: Path) -> None:
    unfinished.write(tmp_path / "a.npz", Record([np.float64(math.nan), np.float32(0.5)], {}, b""))
    nan, half = unfinished.read(tmp_path / "a.npz", Record).numbers
    assert math.isnan(nan)
    assert half == 0.5


def test_arrays_of_another_shape_are_refused(file: Path) -> None:
    with pytest.raises(RunFolderError, match=r"bool of shape \(2,\) in place of bool of shape \(3,\)"):
        unfinished.read_arrays(file, [*ARRAYS[:4], np.zeros(3, bool), *ARRAYS[5:]])
    with pytest.raises(RunFolderError, match="7 arrays in place of 1"):
        unfinished.read_arrays(file, ARRAYS[:1])


def test_a_checkpoint_that_can_not_be_completed_replaces_none(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fills_the_disk(stream: Any, **arrays: np.ndarray) -> None:
        stream.write(b"PK")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fills_the_disk)
    with pytest.raises(RunFolderError, match="No space left on device"):
        unfinished.write(file, RECORD)
    assert unfinished.read(file, Record) == RECORD
    assert list(file.parent.iterdir()) == [file]


def test_an_incomplete_file_is_refused(file: Path) -> None:
    content = file.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(RunFolderError, match="cannot be read"):
            read(file)


def test_a_changed_byte_is_found(file: Path) -> None:
    content = file.read_bytes()
    place = content.index(np.asarray(ARRAYS[1]).tobytes())
    file.write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    with pytest.raises(RunFolderError, match="CRC"):
        read(file)


class Malicious:
    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was read",)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    file = tmp_path / "pickle.npz"
    np.savez(file, record=np.array([Malicious()], object), allow_pickle=True)
    with pytest.raises(RunFolderError, match="another form"):
        unfinished.read(file, Record)


def test_an_array_takes_no_more_memory_than_its_file(tmp_path: Path) -> None:
    file = tmp_path / "bomb.npz"
    np.savez_compressed(file, record=np.zeros(10**6, "uint8"))
    with pytest.raises(RunFolderError, match="compressed"):
        unfinished.read(file, Record)
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("record.npy", header.ljust(127) + b"\n")
    with pytest.raises(RunFolderError, match="another form"):
        unfinished.read(file, Record)


def test_a_checkpoint_is_discarded_with_its_folder(file: Path) -> None:
    (file.parent / ".checkpoint-a1b2.npz").write_bytes(b"of a process that was killed")
    unfinished.discard(file.parents[1])
    assert not file.parent.exists()
    unfinished.discard(file.parents[1])
