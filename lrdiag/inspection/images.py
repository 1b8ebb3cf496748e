"""Looks at training or validation data: pixels of a bounded sample, labels, and values that are not finite."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import keras
import numpy as np
from keras import tree

from lrdiag.backend.arrays import dense
from lrdiag.backend.pipelines import is_dataset, length_of, without_autotuning
from lrdiag.backend.seeds import randomness_kept
from lrdiag.data.inputs import number_of_batches
from lrdiag.inspection.labels import describe
from lrdiag.record.arrays import LabelledImages
from lrdiag.record.observed import MOST_NOT_FINITE, ImageSet, Values

SAMPLE = 2_000
"""Images of a sample, at most."""
_VALUES = 2**26  # in the images of a sample, at most
_PIXELS = 512  # images whose pixels are described, at most
_DESCRIBED = 2**21  # values of them that are described, at most
_SECONDS = 0.5  # that looking at the batches of a dataset may take, apart from the first
_BATCHES = 200
_SEARCH_SECONDS = 60
_IN_ORDER = 16  # batches whose classes are counted
_CHUNK = 2_000  # images that are checked at once
_SEED = 0


class NotReadable(Exception):
    """The data can't be looked at; the message completes the sentence "not checked: …"."""


@dataclass(frozen=True)
class GivenImages:
    """Data as `fit` takes it.

    Attributes:
        source: The data in words.
        x: Arrays, `LabelledImages`, or data that gives batches.
        y: Labels if `x` is arrays.
        batch_size: Number of images in a batch if `x` is arrays.
        shuffled: Whether arrays are shuffled in each epoch.
        weighted: Whether training weights classes or images.
        prepared: Whether they are what a preprocessor of the model returned: then they are not looked at, because the
            images of all others are not prepared.
        split: Whether the images for validation were split off them.
    """

    source: str
    x: Any
    y: Any = None
    batch_size: int | None = None
    shuffled: bool = True
    weighted: bool = False
    prepared: bool = False
    split: bool = False


@dataclass(frozen=True)
class Sample:
    """A few images with their labels.

    Attributes:
        inputs: The inputs of the model, a nest of arrays.
        labels: The labels as `fit` takes them; `None` if they are not needed.
    """

    inputs: Any
    labels: Any

    def __len__(self) -> int:
        return len(tree.flatten(self.inputs)[0])

    def first(self, images: int) -> Sample:
        """Returns the first images."""
        inputs = tree.map_structure(lambda array: array[:images], self.inputs)
        return Sample(inputs, None if self.labels is None else self.labels[:images])


@randomness_kept()
def look_at(given: GivenImages) -> tuple[Sample, ImageSet]:
    """Looks at data, and keeps a sample of it. A one-shot iterator is not consumed, and nothing is copied whole.

    Batches that are drawn at random leave the random states as they were.

    Raises:
        NotReadable: If the data can't be looked at.
    """
    if given.prepared:
        raise NotReadable("the model prepares its images before `fit` reads them; give them as `train_data`")
    if isinstance(given.x, LabelledImages):
        return _of_arrays(given, given.x.images, given.x.labels)
    if given.y is not None:
        return _of_arrays(given, *tree.map_structure(lambda part: np.asarray(dense(part)), (given.x, given.y)))
    return _of_batches(given)


def _of_arrays(given: GivenImages, inputs: Any, labels: Any) -> tuple[Sample, ImageSet]:
    _require_one_output(labels)
    images = picture_of(inputs)
    size = len(images)
    chosen = np.sort(np.random.default_rng(_SEED).permutation(size)[: sample_size(images)])
    mixed = np.random.default_rng(_SEED).permutation(chosen)  # the first of them are a random sample too
    sample = Sample(*tree.map_structure(lambda array: np.asarray(array[mixed]), (inputs, labels)))
    batch_size = given.batch_size or 32
    in_order = [] if given.shuffled else [labels[start : start + batch_size] for start in _starts(size, batch_size)]
    return sample, ImageSet(
        source=given.source,
        size=size,
        looked_at=size,
        values=values_of(picture_of(sample.inputs)[:_PIXELS]),
        sampled=min(len(sample), _PIXELS),
        not_finite=_not_finite(images),
        checked=size,
        labels=describe(labels),
        batch_size=min(batch_size, size),
        classes_in_batches=tuple(describe(each).classes for each in in_order),
        weighted=given.weighted,
        split=given.split,
    )


def _starts(size: int, batch_size: int) -> list[int]:
    return list(range(0, size - batch_size + 1, batch_size))[:_IN_ORDER]


@dataclass
class _Seen:
    """What the batches have shown so far."""

    kept: list[Sample] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    not_finite: list[int] = field(default_factory=list)
    images: int = 0
    weighted: bool = False

    def add(self, batch: Sequence[Any], seconds: float) -> None:
        inputs, labels, *weights = tree.map_structure(lambda part: np.asarray(dense(part)), tuple(batch))
        _require_one_output(labels)
        images = picture_of(inputs)
        if sum(map(len, self.kept)) < sample_size(images):
            self.kept.append(Sample(inputs, labels))
        self.not_finite += [self.images + place for place in _not_finite(images)]
        self.labels.append(labels)
        self.seconds.append(seconds)
        self.images += len(images)
        self.weighted |= bool(weights)

    def sample(self) -> Sample:
        """The kept images in random order, because a batch may hold a single class."""
        joined = tree.map_structure(
            lambda *parts: np.concatenate(parts), *((each.inputs, each.labels) for each in self.kept)
        )
        order = np.random.default_rng(_SEED).permutation(len(tree.flatten(joined)[0]))
        return Sample(*tree.map_structure(lambda array: array[order], joined))


def _of_batches(given: GivenImages) -> tuple[Sample, ImageSet]:
    seen, ended, begun = _Seen(), False, time.perf_counter()
    batches = _batches(given.x)
    while len(seen.labels) < _BATCHES and (not seen.labels or time.perf_counter() - begun - seen.seconds[0] < _SECONDS):
        started = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            ended = True
            break
        if not isinstance(batch, tuple | list) or len(batch) < 2 or batch[1] is None:
            raise NotReadable("the data does not give batches of images and labels")
        seen.add(batch, time.perf_counter() - started)
    if not seen.images:
        raise NotReadable("the data is empty")
    sample, first = seen.sample(), len(seen.labels[0])
    return sample, ImageSet(
        source=given.source,
        size=seen.images if ended else _size(given.x, first),
        looked_at=seen.images,
        values=values_of(picture_of(sample.inputs)[:_PIXELS]),
        sampled=min(len(sample), _PIXELS),
        not_finite=tuple(seen.not_finite[:MOST_NOT_FINITE]),
        checked=seen.images,
        labels=describe(np.concatenate(seen.labels)),
        batch_size=first,
        classes_in_batches=tuple(describe(each).classes for each in seen.labels[:_IN_ORDER] if len(each) == first),
        weighted=given.weighted or seen.weighted,
        draw_seconds=tuple(seen.seconds),
    )


def _batches(x: Any) -> Iterator[Any]:
    if isinstance(x, keras.utils.PyDataset):
        number = number_of_batches(x)
        return (x[place] for place in (count() if number is None else range(number)))
    if is_dataset(x):
        return iter(without_autotuning(x))
    if isinstance(x, Iterator) or not isinstance(x, Iterable):
        raise NotReadable(f"{type(x).__name__} can be read only once")
    return iter(x)


def _size(x: Any, batch_size: int) -> int | None:
    """Returns the number of images, to a batch; `None` if it isn't known."""
    if isinstance(x, keras.utils.PyDataset):
        batches = number_of_batches(x)
    elif is_dataset(x):
        batches = length_of(x)
    else:
        batches = len(x) if hasattr(x, "__len__") else None
    return None if batches is None else batches * batch_size


def _require_one_output(labels: Any) -> None:
    if not hasattr(labels, "shape"):
        raise NotReadable("the labels are those of several outputs")


def sample_size(images: Any) -> int:
    """Returns how many images a sample has, at most."""
    return max(64, min(SAMPLE, _VALUES // max(1, int(np.prod(images.shape[1:])))))


def picture_of(inputs: Any) -> Any:
    """Returns the input that is images: the first with the most axes."""
    return max(tree.flatten(inputs), key=lambda array: len(array.shape))


def values_of(images: np.ndarray) -> Values:
    """Describes the values of images, an array of shape `(n, ...)`.

    Mean and deviations are those of some pixels, the same in each image, if the images are large.
    """
    low, high = _ends(images)
    values = np.asarray(_some_pixels(images), np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    if np.isnan(values).all():
        return Values(math.nan, math.nan, math.nan, math.nan, math.nan)
    with warnings.catch_warnings():  # NumPy warns of a pixel that is NaN in all images
        warnings.simplefilter("ignore", RuntimeWarning)
        between = float(np.nanmean(np.nanstd(values, axis=0)))
        channels = zip(np.nanmean(values, (0, 1)).tolist(), np.nanstd(values, (0, 1)).tolist(), strict=True)
    return Values(
        low=low,
        high=high,
        mean=float(np.nanmean(values)),
        deviation=float(np.nanstd(values)),
        between=between,
        channels=tuple(channels) if _has_channels(images) else (),
        blank=float(np.mean(_is_blank(images))),
    )


def _ends(images: np.ndarray) -> tuple[float, float]:
    """Returns the lowest and the highest finite value; NaN without one."""
    low, high = float(images.min()), float(images.max())
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    finite = images[np.isfinite(images)]
    return (float(finite.min()), float(finite.max())) if finite.size else (math.nan, math.nan)


def _some_pixels(images: np.ndarray) -> np.ndarray:
    """Returns pixels at random places, of shape `(n, pixels, channels)`: all, unless the images are large."""
    channels = images.shape[-1] if _has_channels(images) else 1
    pixels = images.reshape(len(images), -1, channels)
    most = max(1, _DESCRIBED // (len(images) * channels))
    if pixels.shape[1] <= most:
        return pixels
    return np.asarray(pixels[:, np.sort(np.random.default_rng(_SEED).choice(pixels.shape[1], most, replace=False))])


def _has_channels(images: np.ndarray) -> bool:
    return images.ndim > 3 and images.shape[-1] <= 4


def _is_blank(images: np.ndarray) -> np.ndarray:
    """Returns for each image whether it has the same value everywhere."""
    flat = images.reshape(len(images), -1)
    return np.asarray(flat.shape[1] > 1 and (flat == flat[:, :1]).all(axis=1))


def _not_finite(images: np.ndarray) -> tuple[int, ...]:
    """Returns the indices of images with NaN or infinite values, at most `MOST_NOT_FINITE`."""
    if images.dtype.kind not in "fc":
        return ()
    found: list[int] = []
    for start in range(0, len(images), _CHUNK):
        chunk = np.asarray(images[start : start + _CHUNK]).reshape(min(_CHUNK, len(images) - start), -1)
        with np.errstate(over="ignore", invalid="ignore"):
            sums = chunk.sum(axis=1, dtype=np.float32 if chunk.dtype.itemsize < 8 else None)
        suspects = np.flatnonzero(~np.isfinite(sums))  # a sum can overflow although all values are finite
        found += [start + int(each) for each in suspects if not np.isfinite(chunk[each]).all()]
    return tuple(found[:MOST_NOT_FINITE])


@randomness_kept()
def search(given: GivenImages, facts: ImageSet) -> ImageSet:
    """Reads a dataset from its start in search of NaN and infinite values, up to the first batch that has any.

    It is for a run that such an image may have ruined, and ends after a minute.

    Args:
        given: The data.
        facts: What is known of it.

    Returns:
        The facts with the images that were found, and the number that was checked.
    """
    if facts.checked == facts.size or facts.not_finite:
        return facts
    checked, begun = 0, time.perf_counter()
    for batch in _batches(given.x):
        images = picture_of(tree.map_structure(lambda part: np.asarray(dense(part)), batch[0]))
        found = _not_finite(images)
        if found:
            places = tuple(checked + place for place in found)
            return replace(facts, not_finite=places, checked=checked + len(images))
        checked += len(images)
        if time.perf_counter() - begun > _SEARCH_SECONDS or checked >= (facts.size or math.inf):
            break
    return replace(facts, checked=max(checked, facts.checked))


def shared_images(training: Any, validation: Any) -> float | None:
    """Returns the share of validation images that are training images too; `None` if their shapes differ.

    Blank images count as different.

    Args:
        training: Images, an array.
        validation: Images, an array.
    """
    if training.shape[1:] != validation.shape[1:]:
        return None
    values = int(np.prod(training.shape[1:]))
    places = np.sort(np.random.default_rng(_SEED).permutation(values)[:64])
    known: dict[bytes, list[int]] = {}
    for place, mark in enumerate(_marks(training, places)):
        known.setdefault(mark, []).append(place)
    found = 0
    for place, mark in enumerate(_marks(validation, places)):
        candidates = known.get(mark, [])[:8]
        same = any(np.array_equal(training[each], validation[place]) for each in candidates)
        found += same and not _is_blank(validation[place : place + 1]).any()
    return found / len(validation)


def _marks(images: Any, places: np.ndarray) -> Iterator[bytes]:
    flat = np.asarray(images).reshape(len(images), -1)[:, places].astype(np.float32)
    return (row.tobytes() for row in flat)
