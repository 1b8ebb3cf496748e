"""Measures what a candidate for a shortcut does to the predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrdiag.experiments.marks import Change
from lrdiag.experiments.scoring import Scores
from lrdiag.images.choosing import draws
from lrdiag.intervals import newcombe

MOST = 128
"""Images that a change is tried on. Two such groups are a batch."""


@dataclass(frozen=True)
class InputImages:
    """Inputs of the model as images, with their classes.

    Attributes:
        values: Of shape `(k, height, width, channels)`.
        labels: Integers of shape `(k,)`.
        predicted: The same.
        rows: The row of each in its table.
    """

    values: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    rows: np.ndarray

    def some(self, where: np.ndarray, most: int = MOST) -> np.ndarray:
        """Returns places of up to `most` images, a random sample of those where `where` is true."""
        places = np.flatnonzero(where)
        return places[np.argsort(draws(0, self.rows[places]), kind="stable")[:most]]

    def take(self, places: np.ndarray) -> InputImages:
        """Returns the images at `places`."""
        return InputImages(self.values[places], self.labels[places], self.predicted[places], self.rows[places])


@dataclass(frozen=True)
class Effect:
    """Numbers of images before and after a change, and after the control.

    Attributes:
        images: Images of other classes that the candidate was put on.
        turned: Those that were then predicted as the class.
        turned_by_control: Those that the control turned.
        carriers: Images of the class that the candidate was removed from.
        before: Those that were predicted as the class before.
        kept: Those that were still so after the control.
        after: Those that were still so after the candidate was removed.
    """

    images: int
    turned: int
    turned_by_control: int
    carriers: int
    before: int
    kept: int
    after: int

    @property
    def turn(self) -> float:
        """Share of the images that turn, less that of the control."""
        return (self.turned - self.turned_by_control) / self.images

    @property
    def loss(self) -> float:
        """Loss of recall when the candidate is removed, less that of the control."""
        return (self.kept - self.after) / self.carriers

    @property
    def certain_turn(self) -> float:
        """Lower end of the 95 % interval of `turn`."""
        return newcombe((self.turned, self.images), (self.turned_by_control, self.images))[0]

    @property
    def certain_loss(self) -> float:
        """Lower end of the 95 % interval of `loss`."""
        return newcombe((self.kept, self.carriers), (self.after, self.carriers))[0]


def measure(scores: Scores, change: Change, label: int, receivers: np.ndarray, carriers: InputImages) -> Effect:
    """Puts a candidate on images of other classes, and removes it from images of its class.

    Args:
        scores: Takes images, and returns logits.
        change: The candidate.
        label: Its class.
        receivers: Images of other classes, none of them predicted as the class.
        carriers: Images of the class.
    """
    parts = (
        change.put(receivers),
        change.put(receivers, control=True),
        change.remove(carriers.values),
        change.remove(carriers.values, control=True),
    )
    hits = np.split(
        scores(np.concatenate(parts)).argmax(axis=1) == label, np.cumsum([len(each) for each in parts])[:-1]
    )
    turned, turned_by_control, after, kept = (int(each.sum()) for each in hits)
    before = int((carriers.predicted == label).sum())
    return Effect(len(receivers), turned, turned_by_control, len(carriers.values), before, kept, after)
