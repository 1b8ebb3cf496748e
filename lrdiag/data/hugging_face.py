"""Datasets of Hugging Face, read in slices. Their package `datasets` is not imported here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from lrdiag.errors import DataError

BATCH_SIZE = 32
_BYTE_MODES = ("L", "RGB")
_AS_BYTES = {"1": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGBA": "RGB", "RGBX": "RGB"}
"""Modes of Pillow that are converted. Transparency is dropped."""


def batches_of(data: Any) -> Any:
    """Returns batches `(images, labels)` of a dataset of Hugging Face, and other data as it is.

    Images are `uint8` arrays of shape `(n, height, width, channels)`, and labels are class indices. The images of one
    batch are in memory at a time.

    Raises:
        DataError: If the dataset has several splits, or not one column of images and one of labels.
    """
    if type(data).__module__.split(".")[0] != "datasets":
        return data
    if isinstance(data, Mapping):
        splits = ", ".join(map(repr, data))
        raise DataError(f'A dataset must be one split. Choose one: `dataset["test"]`. Received: the splits {splits}')
    columns = _columns(data.features)
    if hasattr(data, "__len__"):  # a streamed one has `__getitem__` too, which it inherits
        own_transform = data.format["type"] == "custom"
        return _Indexed(data if own_transform else data.with_format(None), columns)
    return _Streamed(data.with_format(None), columns)


def _columns(features: Any) -> tuple[str, str]:
    """The names of the columns of images and of labels."""
    kinds = {name: type(feature).__name__ for name, feature in (features or {}).items()}
    found = [[name for name, kind in kinds.items() if kind == wanted] for wanted in ("Image", "ClassLabel")]
    if any(len(names) != 1 for names in found):
        shown = ", ".join(f"{name} ({kind})" for name, kind in kinds.items()) or "unknown columns"
        raise DataError(
            "A dataset of Hugging Face must have one column of the feature `Image` and one of `ClassLabel`. Remove "
            "the others with `remove_columns`, or set a feature with `cast_column`; `class_encode_column` makes a "
            f"`ClassLabel`. Received: {shown}"
        )
    return found[0][0], found[1][0]


class _Indexed(keras.utils.PyDataset):  # type: ignore[misc]
    def __init__(self, data: Any, columns: tuple[str, str]) -> None:
        super().__init__()
        self._data, self._columns = data, columns
        self.class_names = data.features[columns[1]].names

    def __len__(self) -> int:
        return -(-len(self._data) // BATCH_SIZE)

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        return _batch(self._data[place * BATCH_SIZE : (place + 1) * BATCH_SIZE], self._columns)


class _Streamed:
    def __init__(self, data: Any, columns: tuple[str, str]) -> None:
        self._data, self._columns = data, columns
        self.class_names = data.features[columns[1]].names

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for rows in self._data.iter(batch_size=BATCH_SIZE):
            yield _batch(rows, self._columns)


def _batch(rows: Mapping[str, Any], columns: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    missing = [name for name in columns if name not in rows]
    if missing:
        raise DataError(
            f"The transform of a dataset must keep the columns {columns[0]!r} and {columns[1]!r}. "
            f"Received: {', '.join(map(repr, rows))}"
        )
    return _stacked([_pixels(each) for each in rows[columns[0]]]), np.asarray(rows[columns[1]])


def _pixels(image: Any) -> np.ndarray:
    """An image of Pillow, or an array, as an array of shape `(height, width, channels)`."""
    if image is None:
        raise DataError("Each row must have an image. Remove the others with `filter`. Received: an empty cell")
    mode = getattr(image, "mode", None)
    if mode in _AS_BYTES:
        image = image.convert(_AS_BYTES[mode])
    elif mode is not None and mode not in _BYTE_MODES:
        raise DataError(
            "Images must have 8 bits for each value. Convert them with "
            f'`dataset.cast_column("image", datasets.Image(mode="RGB"))`. Received: the mode {mode!r} of Pillow'
        )
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _stacked(images: Sequence[np.ndarray]) -> np.ndarray:
    shapes = {each.shape for each in images}
    if len(shapes) > 1:
        received = " and ".join(map(str, sorted(shapes)[:2]))
        raise DataError(
            "All images of a dataset must have one size and one mode. Resize them with `dataset.map` or "
            '`set_transform`, and convert them with `dataset.cast_column("image", datasets.Image(mode="RGB"))`. '
            f"Received: images of the shapes {received}"
        )
    return np.stack(images)
