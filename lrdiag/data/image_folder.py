"""Any photographs, sorted into one folder per class."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lrdiag.errors import DataError
from lrdiag.progress import Progress, Stage
from lrdiag.records import Dataset, LabelledImages

SUFFIXES = (".jpg", ".jpeg", ".png")

_CHUNK = 250  # files in one task: many enough that tasks cost nothing, few enough that the progress bar moves
_THREADS = min(4, os.cpu_count() or 1)  # small images keep no more busy: threads then wait for the interpreter lock
_LAYOUT = "A folder of images must hold train/<class>/ and test/<class>/ with .jpg, .jpeg or .png files"


@dataclass(frozen=True)
class ImageFolder:
    """Photographs in `train/<class>/` and `test/<class>/`.

    The classes are the folders of `train`, sorted by name; images are sorted by class, then by file name. Hidden files,
    and files other than JPEG and PNG, are ignored. Grey, palette, CMYK, 16-bit and transparent images become RGB
    (transparency is dropped) and are turned as their EXIF orientation says. Each is then scaled so that it just covers
    `image_size`, averaging pixels where it shrinks, and what juts out is cut off at both sides alike.

    Example:
        ```python
        dataset = ImageFolder(Path("flowers")).load(Silence())
        dataset.test.files[0]  # "test/daisy/0001.jpg"
        ```

    Attributes:
        path: The folder.
        image_size: Height and width of the images, in pixels.
    """

    path: Path
    image_size: tuple[int, int] = (32, 32)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.resolve().name

    def load(self, progress: Progress) -> Dataset:
        """Reads every image.

        Raises:
            DataError: If the folders are not laid out so, a class is empty or alone, or a file is no whole image.
        """
        classes = self._classes("train")
        if len(classes) < 2:
            raise DataError(f"{_LAYOUT}, for two classes or more. Received: {self.path / 'train'} with {classes}")
        self._check_test_classes(classes)
        files = {split: [self._files(split, name) for name in classes] for split in ("train", "test")}
        total = sum(len(of_class) for split in files.values() for of_class in split)
        with progress.stage("Reading images", total, unit="images") as stage:
            train = self._read(files["train"], stage)
            test = self._read(files["test"], stage)
        return Dataset(self.name, f"the folder {self.path}", tuple(classes), train, test)

    def _classes(self, split: str) -> list[str]:
        folder = self.path / split
        if not folder.is_dir():
            raise DataError(f"{_LAYOUT}. Received: {self.path}, which has no folder {split!r}")
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))

    def _check_test_classes(self, classes: list[str]) -> None:
        found = self._classes("test")
        if found != classes:
            differences = [
                f"{split} lacks {sorted(set(others) - set(own))}"
                for split, own, others in (("test", found, classes), ("train", classes, found))
                if set(others) - set(own)
            ]
            raise DataError(
                "train and test must hold folders of the same classes. "
                f"Received: {self.path}, where {'; '.join(differences)}. Rename, add or remove folders"
            )

    def _files(self, split: str, name: str) -> list[str]:
        folder = self.path / split / name
        names = sorted(
            entry.name
            for entry in os.scandir(folder)
            if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".") and entry.is_file()
        )
        if not names:
            raise DataError(
                f"Each class needs images in {split}, as .jpg, .jpeg or .png. Received: none of class {name!r} in "
                f"{folder}. Add images or remove the class from train and test"
            )
        return [f"{split}/{name}/{file}" for file in names]

    def _read(self, files: Sequence[Sequence[str]], stage: Stage) -> LabelledImages:
        names = [name for of_class in files for name in of_class]
        labels = np.repeat(np.arange(len(files)), [len(of_class) for of_class in files])
        images = np.empty((len(names), *self.image_size, 3), np.uint8)

        def read(start: int) -> int:
            chunk = names[start : start + _CHUNK]
            for index, name in enumerate(chunk, start):
                images[index] = _fit(_decode(self.path, name), self.image_size)
            return len(chunk)

        with ThreadPoolExecutor(_THREADS) as pool:
            for done in pool.map(read, range(0, len(names), _CHUNK)):
                stage.advance(done)
        return LabelledImages(images, labels.astype(np.int64), tuple(names))


def _decode(root: Path, name: str) -> npt.NDArray[Any]:
    """Returns an RGB image of shape `(height, width, 3)`, `uint8`."""
    import cv2

    try:
        data = (root / name).read_bytes()
        if _ends_properly(data):
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
            if image is not None:
                return np.asarray(image)
        return _decode_strictly(data)
    except Exception as error:  # a damaged file can raise anything
        raise DataError(
            f"Every image must be a whole JPEG or PNG file. Received: {name} of class {name.split('/')[1]!r} in "
            f"{root}: {error}. Replace or remove the file"
        ) from error


def _ends_properly(data: bytes) -> bool:
    """Whether the last picture in the file is closed: OpenCV fills in what is missing and says nothing."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" in data


def _decode_strictly(data: bytes) -> npt.NDArray[Any]:
    """Decodes ten times more slowly than OpenCV, and refuses what is cut short."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"its {len(data)} bytes are neither JPEG nor PNG") from None  # Pillow would name a buffer


def _fit(image: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Cuts the middle of the wanted proportions out of `image` and scales it to `size`."""
    import cv2

    (height, width), (wanted_height, wanted_width) = image.shape[:2], size
    if (height, width) == size:
        return image
    scale = min(height / wanted_height, width / wanted_width)
    rows, columns = max(1, round(wanted_height * scale)), max(1, round(wanted_width * scale))
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = image[top : top + rows, left : left + columns]
    interpolation = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(middle, (wanted_width, wanted_height), interpolation=interpolation))
