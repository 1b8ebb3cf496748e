"""A folder of images, sorted into one folder per class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lrdiag.data.fitting import AS_IS, Fitting
from lrdiag.data.listed import ListedImages
from lrdiag.data.sources.decoding import COMMON, SUFFIXES, looks_like_image
from lrdiag.data.sources.encoded import ListedParts, reason
from lrdiag.data.sources.image_files import LabelledFiles
from lrdiag.data.sources.layout import LAYOUT, find_parts, is_ignored, refuse_parts_as_classes, subfolders
from lrdiag.data.splitting import Part, parts_to_read, require_images_of_each_class
from lrdiag.errors import DataError
from lrdiag.formats import count, printable
from lrdiag.progress import Progress
from lrdiag.record.arrays import Dataset, SkippedFile

# Files that describe images. They are counted, but that they are not read is no problem.
_COMPANIONS = ("", ".csv", ".html", ".ini", ".json", ".log", ".md", ".pdf", ".py", ".tsv", ".txt", ".xml", ".yaml")


@dataclass
class _Others:
    """What is not read in the folders of the classes: unreadable folders, images of other formats, and other files."""

    skipped: list[SkippedFile] = field(default_factory=list)
    companions: Counter[str] = field(default_factory=Counter)

    def add(self, path: str) -> None:
        """Adds a file whose suffix is not that of an image."""
        suffix = os.path.splitext(path)[1].lower()
        if suffix in _COMPANIONS:
            self.companions[suffix or "without a suffix"] += 1
        else:
            self.skipped.append(SkippedFile(printable(path), f"{printable(suffix)} files are not supported"))

    def notes(self) -> list[str]:
        """Returns the number of files of each suffix, in a sentence."""
        if not self.companions:
            return []
        kinds = ", ".join(f"{count(self.companions[suffix])} {suffix}" for suffix in sorted(self.companions))
        return [f"Other files in the folders of the classes were not read: {kinds}."]


@dataclass(frozen=True)
class ImageFolder:
    """Images in `train/<class>/` and `test/<class>/`, and in `val/<class>/` if that folder exists.

    `lrdiag.data.sources.layout.find_parts` describes other names and places of these folders. Without them,
    `<class>/` is divided into 80 % training and 20 % test images. The classes are the folders of `train`, sorted by
    name. Images are sorted by class, then by path, including nested folders. Hidden files are ignored, and files of
    other formats are counted. `lrdiag.data.sources.encoded.ImageStream` describes how files are read.

    Example:
        ```python
        dataset = ImageFolder(Path("flowers"), Fitting((96, 96))).load(Silence())
        dataset.test.files[0]  # "test/daisy/0001.jpg"
        ```

    Attributes:
        path: The folder.
        fitting: Size and channels of the images.
    """

    path: Path
    fitting: Fitting = AS_IS

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
        return self._listed(test_only=test_only).load(progress, test_only=test_only)

    def listed(self, progress: Progress) -> ListedImages:
        """Returns the test images, which are not read yet.

        Raises:
            DataError: If the folders have another layout.
        """
        return self._listed(test_only=True).listed()

    def _listed(self, *, test_only: bool) -> ListedParts:
        source = f"the folder {printable(str(self.path))}"
        layout, others = find_parts(self.path), _Others()
        wanted = parts_to_read(layout.parts, source, test_only=test_only)
        classes = self._classes(layout.parts)
        self._require_known_classes(layout.parts, wanted, classes)
        files = {part: self._files(layout.parts[part], classes, others) for part in wanted}
        names = [printable(each) for each in classes]
        if not test_only:  # raises before the images are read
            training = files.get("train") or files["whole"]
            require_images_of_each_class(training.labels, names, source, others.skipped, COMMON)
        unread = [f"Folders beside the parts were not read: {', '.join(layout.unread)}."] if layout.unread else []
        notes = [*others.notes(), *unread]
        return ListedParts(self.name, source, names, files, self.fitting, others.skipped, notes)

    def _classes(self, folders: Mapping[Part, Path]) -> list[str]:
        folder = next(folders[part] for part in ("train", "whole", "test") if part in folders)
        classes = subfolders(folder)
        if len(classes) < 2:
            raise DataError(f"{LAYOUT}. Received: {printable(str(folder))} with the folders {classes}")
        refuse_parts_as_classes(folder, classes)
        return classes

    def _require_known_classes(
        self, folders: Mapping[Part, Path], wanted: Sequence[Part], classes: Sequence[str]
    ) -> None:
        for part in wanted:
            found = subfolders(folders[part])
            foreign, absent = sorted(set(found) - set(classes)), sorted(set(classes) - set(found))
            if foreign:
                also = f" and lacks {absent}" if absent else ""
                raise DataError(
                    f"Every class must have a folder of training images. Received: {printable(str(self.path))}, where "
                    f"{folders[part].name} has {foreign}{also}, unlike train. Rename, add or remove folders"
                )

    def _files(self, folder: Path, classes: Sequence[str], others: _Others) -> LabelledFiles:
        present = subfolders(folder)
        of_class = [sorted(self._below(folder / name, others)) if name in present else [] for name in classes]
        labels = np.repeat(np.arange(len(classes)), [len(names) for names in of_class])
        names = [name for names in of_class for name in names]
        if not names:
            raise DataError(f"{LAYOUT}. Received: {printable(str(folder))} without such files in folders of classes")
        return LabelledFiles(self.path, names, labels.astype(np.int64))

    def _below(self, folder: Path, others: _Others) -> Iterator[str]:
        """Yields the image files in `folder` and below, relative to `path`. Follows links, except circular ones."""
        visited = set()

        def note(error: OSError) -> None:
            within = Path(error.filename).relative_to(self.path).as_posix()
            others.skipped.append(SkippedFile(printable(within), reason(error)))

        for place, folders, files in os.walk(folder, onerror=note, followlinks=True):
            if (real := os.path.realpath(place)) in visited:
                folders.clear()
                continue
            visited.add(real)
            folders[:] = sorted(name for name in folders if not is_ignored(name))
            within = Path(place).relative_to(self.path).as_posix()
            for name in files:
                if is_ignored(name):
                    continue
                if name.lower().endswith(SUFFIXES) or ("." not in name and looks_like_image(Path(place, name))):
                    yield f"{within}/{name}"
                else:
                    others.add(f"{within}/{name}")
