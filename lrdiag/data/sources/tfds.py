"""A folder that TensorFlow Datasets has prepared."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrdiag.backend.tensorflow_only import import_tensorflow
from lrdiag.data.fitting import AS_IS, Fitting, Sizes
from lrdiag.data.sources.image_files import different_sizes, reason
from lrdiag.data.sources.libraries import require
from lrdiag.data.splitting import Part, assemble, part_named, parts_to_read
from lrdiag.errors import DataError
from lrdiag.formats import printable
from lrdiag.progress import Progress, Stage
from lrdiag.record.arrays import NO_IMAGES, Dataset, LabelledImages

_FEATURES = "tensorflow_datasets.core.features."


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
        source = f"the folder {printable(str(self.path))} of TensorFlow Datasets"
        purpose = "A folder of TensorFlow Datasets"
        import_tensorflow(purpose, DataError)
        library = require("tensorflow_datasets", "tensorflow-datasets", purpose)
        try:
            _refuse_other_modules(json.loads((self.path / "features.json").read_bytes()), source)
            builder = library.builder_from_directory(str(self.path))
            classes = _classes(builder.info.features, source)
            splits = _splits(builder.info.splits)
            wanted = parts_to_read(splits, source, test_only=test_only)
            total = sum(builder.info.splits[splits[part]].num_examples for part in wanted)
            sizes = Sizes()
            with progress.stage("Reading images", total, "images") as stage:
                parts = {part: self._read(library, builder, splits[part], sizes, stage) for part in wanted}
        except DataError:
            raise
        except Exception as error:  # TensorFlow's errors have no common base class
            raise DataError(
                f"A folder of TensorFlow Datasets must be complete. Prepare it again. Received: {source}: "
                f"{type(error).__name__}: {reason(error)}"
            ) from error
        notes = self.fitting.of_files.notes(sizes)
        return assemble(self.name, source, classes, parts, test_only=test_only, notes=notes)

    def _read(self, library: Any, builder: Any, split: str, sizes: Sizes, stage: Stage) -> LabelledImages:
        count, fitting = builder.info.splits[split].num_examples, self.fitting.of_files
        labels = np.empty(count, np.int64)
        images = None
        for index, example in enumerate(library.as_numpy(builder.as_dataset(split=split, shuffle_files=False))):
            image = example["image"]
            if image.dtype != np.uint8:
                raise DataError(
                    f"Images must be stored as uint8, from 0 to 255. Received: {image.dtype} in {split} of "
                    f"{printable(str(self.path))}"
                )
            if images is None:
                size = fitting.size or image.shape[:2]
                images = np.empty((count, *size, fitting.channels), np.uint8)
            if fitting.size is None and image.shape[:2] != size:
                raise different_sizes(f"image {index}", image.shape, size)
            sizes.add(image.shape, size)
            images[index], labels[index] = fitting(image), example["label"]
            stage.advance()
        return NO_IMAGES if images is None else LabelledImages(images, labels)


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
