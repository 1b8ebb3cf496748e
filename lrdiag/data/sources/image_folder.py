"""A folder of images, sorted into one folder per class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lrdiag.data.fitting import DEFAULT_SIZE
from lrdiag.data.sources.image_files import SUFFIXES, LabelledFiles, read_parts, reason
from lrdiag.data.sources.names import printable
from lrdiag.data.splitting import Part, assemble, part_named, parts_to_read, require_images_of_each_class
from lrdiag.errors import DataError
from lrdiag.progress import Progress
from lrdiag.record.arrays import Dataset, SkippedFile

_IGNORED = (".", "__MACOSX", "@eaDir")  # hidden files, and files that macOS archives and network drives add
_SUFFIXES = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
_LAYOUT = (
    "A folder of images must contain train/<class>/ and test/<class>/ (and optionally val/<class>/), or <class>/ "
    f"alone, with {_SUFFIXES} files, for two classes or more"
)


@dataclass(frozen=True)
class ImageFolder:
    """Images in `train/<class>/` and `test/<class>/`, and in `val/<class>/` if that folder exists.

    Without these folders, `<class>/` is divided into 80 % training and 20 % test images. The classes are the folders of
    `train`, sorted by name. Images are sorted by class, then by path, including nested folders. Hidden files and other
    formats are ignored. `lrdiag.data.sources.image_files.read_parts` describes how files are read.

    Example:
        ```python
        dataset = ImageFolder(Path("flowers"), image_size=(96, 96)).load(Silence())
        dataset.test.files[0]  # "test/daisy/0001.jpg"
        ```

    Attributes:
        path: The folder.
        image_size: Height and width of the images, in pixels. `None` uses 32 × 32.
        channels: 3, or 1 for grey images.
    """

    path: Path
    image_size: tuple[int, int] | None = None
    channels: int = 3

    @staticmethod
    def reads(path: Path) -> bool:
        """Returns whether `path` contains data of this kind."""
        return os.path.isdir(path)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return printable(self.path.resolve().name)

    def load(self, progress: Progress, *, test_only: bool = False) -> Dataset:
        """Reads all images, or only the test images.

        Raises:
            DataError: If the folders have another layout, or a class has no training images.
        """
        source = f"the folder {printable(str(self.path))}"
        folders = self._parts()
        wanted = parts_to_read(folders, source, test_only=test_only)
        classes = self._classes(folders)
        self._require_known_classes(folders, wanted, classes)
        unreadable: list[SkippedFile] = []
        files = {part: self._files(folders[part], classes, unreadable) for part in wanted}
        names = [printable(each) for each in classes]
        if not test_only:  # raises before the images are read
            training = files.get("train") or files["whole"]
            require_images_of_each_class(training.labels, names, source, unreadable, f"{_SUFFIXES} files")
        parts, broken = read_parts(self.path, files, self.image_size or DEFAULT_SIZE, self.channels, progress)
        skipped = [*unreadable, *broken]
        return assemble(self.name, source, names, parts, test_only=test_only, skipped=skipped)

    def _parts(self) -> dict[Part, Path]:
        found: dict[Part, Path] = {}
        for name in _subfolders(self.path):
            part = part_named(name)
            if part in found:
                raise DataError(
                    f"A folder of images must contain each part once. Received: {printable(str(self.path))} with "
                    f"{found[part].name}/ and {name}/. Merge them"
                )
            if part:
                found[part] = self.path / name
        return found or {"whole": self.path}

    def _classes(self, folders: Mapping[Part, Path]) -> list[str]:
        folder = next(folders[part] for part in ("train", "whole", "test") if part in folders)
        classes = _subfolders(folder)
        if len(classes) < 2:
            raise DataError(f"{_LAYOUT}. Received: {printable(str(folder))} with the folders {classes}")
        return classes

    def _require_known_classes(
        self, folders: Mapping[Part, Path], wanted: Sequence[Part], classes: Sequence[str]
    ) -> None:
        for part in wanted:
            found = _subfolders(folders[part])
            foreign, absent = sorted(set(found) - set(classes)), sorted(set(classes) - set(found))
            if foreign:
                also = f" and lacks {absent}" if absent else ""
                raise DataError(
                    f"Every class must have a folder of training images. Received: {printable(str(self.path))}, where "
                    f"{folders[part].name} has {foreign}{also}, unlike train. Rename, add or remove folders"
                )

    def _files(self, folder: Path, classes: Sequence[str], unreadable: list[SkippedFile]) -> LabelledFiles:
        present = _subfolders(folder)
        of_class = [sorted(self._below(folder / name, unreadable)) if name in present else [] for name in classes]
        labels = np.repeat(np.arange(len(classes)), [len(names) for names in of_class])
        names = [name for names in of_class for name in names]
        if not names:
            raise DataError(f"{_LAYOUT}. Received: {printable(str(folder))} without such files in folders of classes")
        return LabelledFiles(names, labels.astype(np.int64))

    def _below(self, folder: Path, unreadable: list[SkippedFile]) -> Iterator[str]:
        """Yields the image files in `folder` and below, relative to `path`. Follows links, except circular ones.

        Unreadable folders are added to `unreadable`.
        """
        visited = set()

        def note(error: OSError) -> None:
            within = Path(error.filename).relative_to(self.path).as_posix()
            unreadable.append(SkippedFile(printable(within), reason(error)))

        for place, folders, files in os.walk(folder, onerror=note, followlinks=True):
            if (real := os.path.realpath(place)) in visited:
                folders.clear()
                continue
            visited.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith(_IGNORED))
            within = Path(place).relative_to(self.path).as_posix()
            for name in files:
                if name.lower().endswith(SUFFIXES) and not name.startswith(_IGNORED):
                    yield f"{within}/{name}"


def _subfolders(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise DataError(
            f"A folder of images must be readable. Received: {printable(str(folder))}: {error.strerror}"
        ) from error
    return sorted(name for name in names if not name.startswith(_IGNORED) and os.path.isdir(folder / name))
