import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lrdiag.progress import Silence
from lrdiag.record.arrays import LabelledImages

CLASSES = [b"cat", b"dog"]
BATCH_FILES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


class Recorder(Silence):
    """Records the stages and the warnings of a run."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None, str]] = []
        self.steps = 0
        self.warnings: list[str] = []

    def stage(self, title, total=None, unit=""):
        self.stages.append((title, total, unit))
        return super().stage(title, total, unit)

    def advance(self, steps=1, note=""):
        self.steps += steps

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture
def progress() -> Recorder:
    return Recorder()


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch) -> Path:
    """An empty cache for every test, so that none reads or fills the real one."""
    home = tmp_path / "keras-home"
    monkeypatch.setenv("KERAS_HOME", str(home))
    return home


@pytest.fixture
def no_network(monkeypatch) -> None:
    """A host name that no name server knows (RFC 2606)."""
    monkeypatch.setattr("lrdiag.data.sources.cifar10.URL", "http://nowhere.invalid/cifar-10-python.tar.gz")


@pytest.fixture
def write_cifar10() -> Callable[..., Path]:
    """Writes small files of the official layout; `changes` replaces the content of a file by bytes or an object."""

    def write(folder: Path, rows: int = 4, **changes: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        contents: dict[str, Any] = {"batches.meta": {b"label_names": CLASSES, b"num_cases_per_batch": rows}}
        for number, name in enumerate(BATCH_FILES):
            data = np.random.default_rng(number).integers(0, 256, (rows, 3072), np.uint8)
            contents[name] = {b"data": data, b"labels": [row % 2 for row in range(rows)]}
        for name, content in {
            **contents,
            **{key.replace("meta", "batches.meta"): changes[key] for key in changes},
        }.items():
            raw = content if isinstance(content, bytes) else pickle.dumps(content)
            (folder / name).write_bytes(raw)
        return folder

    return write


@pytest.fixture
def write_archive(tmp_path, write_cifar10) -> Callable[[Path], Path]:
    """Packs small files like the official archive: batches out of order, with a web page between them."""

    def write(path: Path) -> Path:
        folder = write_cifar10(tmp_path / "to-pack")
        (folder / "readme.html").write_text("<html></html>")
        order = ["data_batch_4", "readme.html", "test_batch", "data_batch_3", "batches.meta"]
        order += ["data_batch_2", "data_batch_5", "data_batch_1"]
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:gz") as archive:
            for name in order:
                archive.add(folder / name, f"cifar-10-batches-py/{name}")
        return path

    return write


@pytest.fixture
def write_images(tmp_path) -> Callable[..., Path]:
    """Writes `count` plain PNG files for each class into train and test."""

    def write(classes=("cat", "dog"), test_classes=None, count: int = 3) -> Path:
        root = tmp_path / "photos"
        for split, names in (("train", classes), ("test", classes if test_classes is None else test_classes)):
            for shade, name in enumerate(names):
                (root / split / name).mkdir(parents=True)
                for number in range(count):
                    Image.new("RGB", (32, 32), 3 * (40 * shade + number,)).save(root / split / name / f"{number}.png")
        return root

    return write


@pytest.fixture
def numbered_images() -> Callable[..., LabelledImages]:
    """Images of different values: image `i` is filled with `i % 256` and has the class `i % classes`."""

    def make(count: int, classes: int = 2) -> LabelledImages:
        pixels = np.broadcast_to((np.arange(count) % 256).astype(np.uint8)[:, None, None, None], (count, 32, 32, 3))
        return LabelledImages(np.ascontiguousarray(pixels), np.arange(count) % classes)

    return make
