"""Images and labels: arrays, the archive of CIFAR-10, picture files, and tables."""

from __future__ import annotations

import io
import pickle
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.mutation import mutated_bytes, mutated_text
from PIL import Image

from lrdiag.progress import SILENCE

Task = tuple[Callable[[], object], Sequence[Path]]
_ARCHIVE = "cifar-10-python.tar.gz"
_BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]


class Payload:
    """A pickle that writes a file when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("executed", "w")


def _opened(path: Path) -> Task:
    def task() -> object:
        from lrdiag.data import list_test_images

        return list_test_images(str(path), None, (8, 8), 3, SILENCE).load(SILENCE)

    return task, ()


def prepare_npz(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    labels = np.arange(6) % 2
    names = np.array(["cat", "dog"])
    np.savez(folder / "images.npz", x_train=images, y_train=labels, x_test=images, y_test=labels, class_names=names)


def make_npz(base: Path, work: Path, rng: random.Random) -> Task:
    path = work / "images.npz"
    if rng.random() < 0.3:
        path.write_bytes(mutated_bytes((base / "images.npz").read_bytes(), rng))
        return _opened(path)
    with np.load(base / "images.npz") as arrays:
        members = {name: _npy(arrays[name]) for name in arrays.files}
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(sorted(members))
        members[name] = _changed_array(members[name], rng)
    if rng.random() < 0.2:
        members[rng.choice(("x", "../out", "x_val", "y_val"))] = members.pop(rng.choice(sorted(members)))
    with zipfile.ZipFile(path, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return _opened(path)


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _changed_array(content: bytes, rng: random.Random) -> bytes:
    way = rng.randrange(5)
    if way == 0:
        return mutated_bytes(content, rng)
    if way == 1:
        shape = rng.choice(((10**12,), (2**40, 8, 8, 3), (0,), (), (6, -1), (6, 8, 8, 3), (2**63,)))
        header = {
            "descr": rng.choice(("|u1", "<i8", "<f4", "|O", "<U4", "|S9")),
            "fortran_order": False,
            "shape": shape,
        }
        text = repr(header).ljust(117).encode() + b"\n"
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content[128:]
    if way == 2:
        return _npy(np.array([Payload(), Payload()], dtype=object))
    try:
        array = np.atleast_1d(np.load(io.BytesIO(content), allow_pickle=False))
    except Exception:  # it was changed before
        return content
    if way == 3:
        return _npy(
            array.astype(rng.choice(("float32", "int64", "S5", "bool", "uint16")), copy=True)
            if array.dtype.kind != "U"
            else array
        )
    return _npy(rng.choice((array[:-1], array[:0], array.reshape(-1), array[None], np.full(array.shape, np.nan))))


def prepare_tar(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in _BATCHES[:-1]:
        content = {b"data": rng.integers(0, 256, (4, 3072), np.uint8), b"labels": [0, 1, 0, 1]}
        (folder / name).write_bytes(pickle.dumps(content, protocol=4))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"cat", b"dog"]}, protocol=4))


def make_tar(base: Path, work: Path, rng: random.Random) -> Task:
    members = {name: (base / name).read_bytes() for name in _BATCHES}
    way = rng.random()
    if way < 0.6:
        name = rng.choice(_BATCHES)
        contents = (mutated_bytes(members[name], rng), mutated_bytes(members[name], rng), _pickle(rng))
        members[name] = rng.choice(contents)
    with tarfile.open(work / _ARCHIVE, "w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            if way > 0.6 and rng.random() < 0.2:
                info.type = rng.choice(
                    (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE)
                )
                info.name = rng.choice((info.name, "../outside", "/tmp/outside"))
                info.linkname = rng.choice(("/etc/passwd", "../outside", info.name))
                archive.addfile(info)
            else:
                archive.addfile(info, io.BytesIO(content))
    if way > 0.8:
        archive_file = work / _ARCHIVE
        archive_file.write_bytes(mutated_bytes(archive_file.read_bytes(), rng))

    def task() -> object:
        from lrdiag.data.sources.cifar10 import Cifar10

        return Cifar10(work).load(SILENCE)

    return task, ()


def _pickle(rng: random.Random) -> bytes:
    others: list[Any] = [
        Payload(),
        {b"data": Payload(), b"labels": [0, 1, 0, 1]},
        {b"data": np.zeros((4, 3072), np.float64), b"labels": [0, 1, 0, 1]},
        {b"data": np.zeros((4, 3072), np.uint8), b"labels": [2**70, -1, 0, 1]},
        {b"data": np.zeros((4, 3072), np.uint8), b"labels": np.arange(4)},
        {b"label_names": [b"\xff\xfe", "é", 3]},
        [[[]]],
        None,
    ]
    return pickle.dumps(rng.choice(others), protocol=rng.choice((0, 2, 4)))


def prepare_pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            (folder / split / label).mkdir(parents=True)
            for number, suffix in enumerate((".png", ".jpg", ".webp", ".bmp", ".gif")):
                image = Image.fromarray(rng.integers(0, 256, (9, 8, 3), np.uint8))
                image.save(folder / split / label / f"{number}{suffix}")


def make_pictures(base: Path, work: Path, rng: random.Random) -> Task:
    shutil.copytree(base / "test", work / "images")
    for _ in range(rng.choice((1, 2, 4))):
        file = rng.choice(sorted((work / "images").rglob("*.*")))
        content = mutated_bytes(file.read_bytes(), rng)
        file.write_bytes(rng.choice((content, content, b"", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"II*\0\x08\0\0\0")))
    return _opened(work / "images")


def prepare_csv(folder: Path) -> None:
    prepare_pictures(folder)
    files = sorted(str(each.relative_to(folder)) for each in folder.rglob("*.png"))
    rows = [f"{file},{Path(file).parent.name},{file.split('/')[0]}" for file in files]
    (folder / "table.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    rows = [f'{index},{"north" if index % 2 else "south"},{index / 7},"a, b"' for index in range(20)]
    (folder / "metadata.csv").write_text("\n".join(["index,site,age,note", *rows]) + "\n")


def make_csv(base: Path, work: Path, rng: random.Random) -> Task:
    name = rng.choice(("table.csv", "metadata.csv"))
    shutil.copytree(base / "test", work / "test")
    shutil.copytree(base / "train", work / "train")
    (work / name).write_bytes(mutated_text((base / name).read_text(), rng))
    if name == "table.csv":
        return _opened(work / name)

    def task() -> object:
        from lrdiag.diagnosis.metadata import read_given

        return read_given(work / name, rng.choice((None, "site", "age")))

    return task, ()
