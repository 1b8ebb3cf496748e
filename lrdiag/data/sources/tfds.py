"""A folder that TensorFlow Datasets has prepared."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lrdiag.backend.tensorflow_only import import_tensorflow
from lrdiag.data.fitting import AS_IS, Fitting
from lrdiag.data.listed import ListedImages, Tally, digest_of, require_labels
from lrdiag.data.sources.encoded import different_sizes, reason
from lrdiag.data.sources.libraries import require
from lrdiag.data.splitting import Part, assemble, part_named, parts_to_read, source_of
from lrdiag.errors import DataError
from lrdiag.formats import printable
from lrdiag.progress import Progress, Stage
from lrdiag.record.arrays import NO_IMAGES, Dataset, LabelledImages

_FEATURES = "tensorflow_datasets.core.features."
_AT_ONCE = 512  # images


@dataclass(frozen=True)
class TfdsFolder:
    """A folder that TensorFlow Datasets has written, with the features `image` and `label`.

    Its splits `train`, `test` and `validation` are read. `train` alone is divided into 80 % training and 20 % test
    images. `lrdiag.data.fitting` describes how images are scaled. This needs the package tensorflow-datasets.

    Example:
        ```python
        dataset = TfdsFolder(Path("~/tensorflow_datasets/mnist/3.0.1").expanduser()).load(Silence())
        ```

    Attributes:
        path: The folder that contains `dataset_info.json` and `features.json`.
        fitting: Size and channels of the images.
    """

    path: Path
    fitting: Fitting = AS_IS

    @staticmethod
    def reads(path: Path) -> bool:
        """Returns whether `path` contains data of this kind."""
        return all(os.path.isfile(path / name) for name in ("dataset_info.json", "features.json"))

    @property
    def name(self) -> str:
        """The name of the folder, or of its parent if the folder is a version."""
        folder = self.path.resolve()
        return printable(folder.name if not folder.name[:1].isdecimal() else folder.parent.name)

    def load(self, progress: Progress, *, test_only: bool = False) -> Dataset:
        """Reads all images, or only the test images.

        Raises:
            DataError: If tensorflow-datasets or TensorFlow is not installed, or the folder has other features.
        """
        with self._explained():
            prepared = self._prepared()
            wanted = parts_to_read(prepared.splits, self._source, test_only=test_only)
            total = sum(map(prepared.size, wanted))
            tally = Tally()
            with progress.stage("Reading images", total, "images") as stage:
                parts = {part: self._read(prepared, part, tally, stage) for part in wanted}
        notes = tally.notes(self.fitting.of_files)
        return assemble(self.name, self._source, prepared.classes, parts, test_only=test_only, notes=notes)

    def listed(self, progress: Progress) -> ListedImages:
        """Returns the test images, which are not read yet.

        Raises:
            DataError: As `load`.
        """
        with self._explained():
            prepared = self._prepared()
            (part,) = parts_to_read(prepared.splits, self._source, test_only=True)
            size = prepared.size(part)
        return ListedImages(
            self.name,
            source_of(self._source, prepared.splits, test_only=True),
            prepared.classes,
            range(size),
            partial(_Stream, self, part),
            self.fitting.of_files,
            digest_of(prepared.splits[part], size, *prepared.classes),
        )

    @property
    def _source(self) -> str:
        return f"the folder {printable(str(self.path))} of TensorFlow Datasets"

    def _prepared(self) -> _Prepared:
        purpose = "A folder of TensorFlow Datasets"
        import_tensorflow(purpose, DataError)
        library = require("tensorflow_datasets", "tensorflow-datasets", purpose)
        _refuse_other_modules(json.loads((self.path / "features.json").read_bytes()), self._source)
        builder = library.builder_from_directory(str(self.path))
        return _Prepared(library, builder, _classes(builder.info.features, self._source), _splits(builder.info.splits))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # TensorFlow's errors have no common base class
            raise DataError(
                f"A folder of TensorFlow Datasets must be complete. Prepare it again. Received: {self._source}: "
                f"{type(error).__name__}: {reason(error)}"
            ) from error

    def _read(self, prepared: _Prepared, part: Part, tally: Tally, stage: Stage) -> LabelledImages:
        size = prepared.size(part)
        images, labels, first = np.empty((0, 1, 1, 3), np.uint8), np.empty(size, np.int64), 0
        for chunk in self._chunks(prepared, part, range(size), tally, stage):
            images = images if first else np.empty((size, *chunk.images.shape[1:]), np.uint8)
            places = slice(first, first + len(chunk))
            images[places], labels[places] = chunk.images, chunk.labels
            first = places.stop
        return LabelledImages(images, labels) if first else NO_IMAGES

    def _chunks(
        self, prepared: _Prepared, part: Part, places: range, tally: Tally, stage: Stage
    ) -> Iterator[LabelledImages]:
        fitting = self.fitting.of_files
        size = fitting.size
        examples = iter(enumerate(prepared.examples(part, places), places.start))
        while chunk := list(islice(examples, _AT_ONCE)):
            images, labels = [], []
            for index, example in chunk:
                image = example["image"]
                if image.dtype != np.uint8:
                    raise DataError(
                        f"Images must be stored as uint8, from 0 to 255. Received: {image.dtype} in "
                        f"{prepared.splits[part]} of {printable(str(self.path))}"
                    )
                size = size or prepared.first_size(part)
                if fitting.size is None and image.shape[:2] != size:
                    raise different_sizes(f"image {index}", image.shape, size)
                tally.sizes.add(image.shape, size)
                images.append(fitting(image))
                labels.append(example["label"])
                stage.advance()
            yield LabelledImages(np.stack(images), np.array(labels, np.int64))


@dataclass(frozen=True)
class _Prepared:
    """An open folder: the library, its builder, the names of the classes, and the split of each part."""

    library: Any
    builder: Any
    classes: Sequence[str]
    splits: Mapping[Part, str]

    def size(self, part: Part) -> int:
        return int(self.builder.info.splits[self.splits[part]].num_examples)

    def examples(self, part: Part, places: range) -> Iterator[Any]:
        """Yields examples in the order of their files, so that a slice has the order of the whole."""
        split = f"{self.splits[part]}[{places.start}:{places.stop}]"
        in_order = self.library.ReadConfig(interleave_cycle_length=1)
        yield from self.library.as_numpy(
            self.builder.as_dataset(split=split, shuffle_files=False, read_config=in_order)
        )

    def first_size(self, part: Part) -> tuple[int, int]:
        """Returns height and width of the first image of a part."""
        height, width = next(self.examples(part, range(1)))["image"].shape[:2]
        return height, width


class _Stream:
    """One pass over test images, as `Reading`."""

    def __init__(self, folder: TfdsFolder, part: Part, places: range, progress: Progress) -> None:
        self.tally = Tally()
        self._folder, self._part, self._places, self._progress = folder, part, places, progress

    def __iter__(self) -> Iterator[LabelledImages]:
        folder = self._folder
        with folder._explained(), self._progress.stage("Reading images", len(self._places), "images") as stage:
            prepared, places = folder._prepared(), self._places
            for images in folder._chunks(prepared, self._part, places, self.tally, stage):
                first, places = places.start, places[len(images) :]
                require_labels(images.labels, prepared.classes, partial(self._where, first))
                yield images

    def _where(self, first: int, place: int) -> str:
        return f"image {first + place:,} in {self._folder._source}"


def _refuse_other_modules(features: Any, source: str) -> None:
    """Raises if a feature has a class outside of TensorFlow Datasets, which would import the module of the class."""
    left = [features]
    while left:
        node = left.pop()
        left.extend(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
        named = (node.get("pythonClassName"), node.get("type")) if isinstance(node, dict) else ()
        for name in named:
            if isinstance(name, str) and not name.startswith(_FEATURES):
                raise DataError(
                    f"A folder of TensorFlow Datasets must have features of TensorFlow Datasets, from {_FEATURES}*. "
                    f"Received: {name!r} in {source}"
                )


def _classes(features: Any, source: str) -> list[str]:
    names = getattr(features["label"], "names", None) if {"image", "label"} <= set(features) else None
    if names is None:
        raise DataError(
            "A folder of TensorFlow Datasets must have the features `image` and `label`, a ClassLabel. "
            f"Received: {sorted(features)} in {source}"
        )
    return [printable(name) for name in names]


def _splits(names: Any) -> dict[Part, str]:
    """Returns the name of the split of each part that exists."""
    by_length = sorted(names, key=len, reverse=True)  # of "test" and "test_images" the shorter is used
    found = {part: name for name in by_length if (part := part_named(name))}
    return found if set(found) != {"train"} else {"whole": found["train"]}
