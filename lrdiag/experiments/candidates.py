"""Candidates for a shortcut: what sets the images of a class apart, as a change that can be tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lrdiag import opencv
from lrdiag.experiments.interventions import InputImages
from lrdiag.experiments.marks import Change, Overlay, Paste, Pick, Stretch
from lrdiag.experiments.places import place_of, place_of_pattern
from lrdiag.experiments.scale import Scale
from lrdiag.images.colours import FEWEST_PIXELS, Colours, find_colours
from lrdiag.images.marks import RARE, Marks, find_marks
from lrdiag.images.overlays import extremes, fine, ranges, residuals

STANDS_OUT = 1.5
"""How much more prominent a class must be than the next one."""
FEWEST = 10
"""Fewest images that show a mark."""
FAINTEST = 0.02
"""Prominence that chance explains."""
SHARED = 0.02
"""Share of the other images that are as much alike to a pattern as those that show it."""


@dataclass(frozen=True)
class Candidate:
    """What sets the images of a class apart.

    Attributes:
        name: What and where it is: `"a mark at the lower right"`.
        label: The class.
        change: Puts it on images and removes it.
        shown: `bool` of shape `(n,)`: the pictures that show it.
    """

    name: str
    label: int
    change: Change
    shown: np.ndarray


class Family(Protocol):
    """Candidates of one kind, one for each class."""

    @property
    def prominence(self) -> np.ndarray:
        """`float32` of shape `(classes,)`: how much the images of each class are set apart."""

    @property
    def least(self) -> float:
        """The least prominence of a candidate."""

    def candidate(self, label: int, like: int) -> Candidate:
        """Returns the candidate of a class, as large or as strong as that of the class `like`."""


@dataclass(frozen=True)
class Sources:
    """What candidates are made from.

    Attributes:
        pictures: `uint8` of shape `(n, height, width, 1 or 3)`.
        labels: Integers of shape `(n,)`: their classes.
        inputs: Inputs of some of them.
        input_places: The picture that each input belongs to, of shape `(k,)`.
        scale: How inputs correspond to pictures; `None` if they don't.
        classes: Number of classes.
    """

    pictures: np.ndarray
    labels: np.ndarray
    inputs: InputImages
    input_places: np.ndarray
    scale: Scale | None
    classes: int

    @property
    def present(self) -> np.ndarray:
        """The classes that have enough images, ascending."""
        return np.flatnonzero(np.bincount(self.labels, minlength=self.classes) >= FEWEST)


def families(sources: Sources) -> Iterator[Family]:
    """Yields the kinds of candidates, the most local ones first."""
    for marks in find_marks(sources.pictures, sources.labels, sources.classes):
        yield MarkFamily(marks, sources)
    if sources.scale is not None:
        order = np.argsort(sources.labels, kind="stable")
        halves = np.sort(order[::2]), np.sort(order[1::2])  # half of each class
        first, second = (residuals(sources.pictures[each], sources.labels[each], sources.classes) for each in halves)
        for reach in (3, 9):
            if 2 * reach <= min(first.shape[1:3]):
                yield PatternFamily(fine(first, reach), fine(second, reach), sources, sources.scale)
        yield RangeFamily(*ranges(sources.pictures, sources.labels, sources.classes), sources, sources.scale)
        for colours in find_colours(sources.pictures, sources.labels, sources.classes, (RARE, 1.0)):
            yield ColourFamily(colours, sources, sources.scale)


def standing_out(prominence: np.ndarray, least: float) -> np.ndarray:
    """Returns the classes above the widest gap in prominence, if it is wide enough.

    Example:
        >>> standing_out(np.array([0.05, 0.9, 0.06, 0.04]), 0.1).tolist()
        [1]
        >>> standing_out(np.array([0.05, 0.07, 0.06, 0.04]), 0.1).tolist()
        []

    Args:
        prominence: Numbers of shape `(classes,)`.
        least: The least of a class that stands out.
    """
    order = np.argsort(-prominence, kind="stable")
    ordered = np.maximum(prominence[order], FAINTEST * least / 0.1)
    most = max(1, len(order) // 3)
    ratios = np.where(ordered[:-1] >= least, ordered[:-1] / ordered[1:], 0)[:most]
    return order[: int(ratios.argmax()) + 1] if len(ratios) and ratios.max() >= STANDS_OUT else order[:0]


@dataclass(frozen=True)
class MarkFamily:
    """Places that have the same values in many images of a class."""

    marks: Marks
    sources: Sources
    least: float = 0.1

    @property
    def prominence(self) -> np.ndarray:
        """How much more often the images of each class have the values."""
        return self.marks.prominence

    def candidate(self, label: int, like: int) -> Candidate:
        """The places of a class that stand out most, as many as those of the class `like`."""
        mark = self.marks.mark(label, self.marks.size(like))
        inputs, shown = self.sources.inputs, mark.shown[self.sources.input_places]
        own = inputs.labels == label
        carriers = inputs.some(own & shown)
        if len(carriers) < FEWEST:
            carriers = inputs.some(own)
        others = inputs.some(~own)
        size = inputs.values.shape[1:3]
        mask = opencv.resize(mark.mask.astype(np.uint8), size[::-1], interpolation=opencv.INTER_NEAREST).astype(bool)
        # The first carriers are also those that the mark is removed from: the control gives each the mark of another.
        donors = np.roll(inputs.values[carriers], 1, axis=0)
        return Candidate(
            place_of(mark.mask, self.marks.trait), label, Paste(mask, donors, inputs.values[others]), mark.shown
        )


@dataclass(frozen=True)
class PatternFamily:
    """A fine pattern in the mean picture of a class: in that of each half of its pictures."""

    first: np.ndarray
    second: np.ndarray
    sources: Sources
    scale: Scale
    least: float = 0.5

    @property
    def prominence(self) -> np.ndarray:
        """Root mean square of what the patterns of both halves have in common, in grey levels."""
        common = (self.first * self.second).mean(axis=(1, 2, 3))
        return np.asarray(np.sqrt(np.maximum(common, 0)))

    def candidate(self, label: int, like: int) -> Candidate:
        """The pattern of a class, as strong as that of the class `like`."""
        prominence = self.prominence
        pattern = (self.first[label] + self.second[label]) / 2
        strength = prominence[like] / max(prominence[label], FAINTEST)
        limits = _limits(self.sources.inputs)
        flat = self.sources.pictures.reshape(len(self.sources.pictures), -1)
        likeness = flat @ pattern.ravel()
        shown = likeness > np.quantile(likeness[self.sources.labels != label], 1 - SHARED)
        change = Overlay(self.scale.pattern(pattern * strength), 2.0, limits)
        return Candidate(place_of_pattern(pattern), label, change, shown)


@dataclass(frozen=True)
class RangeFamily:
    """A narrower range of values in the images of a class."""

    distance: np.ndarray
    bounds: np.ndarray
    sources: Sources
    scale: Scale
    least: float = 0.1

    @property
    def prominence(self) -> np.ndarray:
        """How much more rarely the images of each class have values near black or white."""
        return self.distance

    def candidate(self, label: int, like: int) -> Candidate:
        """The range of a class."""
        low, high = self.bounds[label]
        factor = np.maximum(high - low, 1) / 255
        channels = list(self.scale.channels)
        scale = factor[channels]
        offset = self.scale.offset + low[channels] * self.scale.slope - self.scale.offset * scale
        lows, highs = extremes(self.sources.pictures)
        shown = ((lows >= low) & (highs <= high)).all(axis=1)
        return Candidate(
            "a tint or a reduced contrast", label, Stretch(scale, offset, _limits(self.sources.inputs)), shown
        )


@dataclass(frozen=True)
class ColourFamily:
    """Pixels of one colour, anywhere in an image."""

    colours: Colours
    sources: Sources
    scale: Scale
    least: float = 0.2

    @property
    def prominence(self) -> np.ndarray:
        """How much more often the images of each class have their colour."""
        return self.colours.prominence

    def candidate(self, label: int, like: int) -> Candidate:
        """The colour of a class."""
        lowest, highest = self.colours.lowest[label], self.colours.highest[label]
        inputs, pictures = self.sources.inputs, self.sources.pictures
        has = ((pictures >= lowest) & (pictures <= highest)).all(axis=-1)
        shown = has.mean(axis=(1, 2)) >= FEWEST_PIXELS
        own = inputs.labels == label
        carriers, others = inputs.some(own & shown[self.sources.input_places]), inputs.some(~own)
        donors = np.roll(inputs.values[carriers if len(carriers) else others], 1, axis=0)
        ends = self.scale.values(np.stack([lowest - 0.5, highest + 0.5]))
        change = Pick(ends.min(axis=0), ends.max(axis=0), donors, inputs.values[others])
        colour = "#" + "".join(f"{value:02x}" for value in _middle(lowest, highest))
        return Candidate(f"pixels of the colour {colour}", label, change, shown)


def _middle(lowest: np.ndarray, highest: np.ndarray) -> list[int]:
    """Red, green and blue of a range of colours. Its ends are pure colours."""
    values = np.where(lowest == 0, 0, np.where(highest == 255, 255, (lowest.astype(int) + highest) // 2))
    return [int(value) for value in np.broadcast_to(values, 3)]


def _limits(inputs: InputImages) -> tuple[float, float]:
    return float(inputs.values.min()), float(inputs.values.max())
