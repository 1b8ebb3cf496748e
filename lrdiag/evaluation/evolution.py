"""How the predictions and maps of some misclassified images changed during training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lrdiag.evaluation.evaluated import Evaluated
from lrdiag.record.arrays import finite
from lrdiag.record.facts import Evolution, Moment, WatchedImage

WATCHED = 12  # images: half still misclassified, half corrected, if there are enough of both
SHOWN = 10  # epochs at most, the first and the last among them
OTHER_ORDER = (
    "How predictions changed during training is not shown, because the validation data gives other images, or another "
    "order, in each pass. Build it with shuffle=False and without augmentation."
)


@dataclass
class Checkpoint:
    """The evaluation after one epoch, counted from 1, or after an interruption in the next epoch."""

    epoch: int
    evaluated: Evaluated

    def forget_images(self) -> None:
        """Deletes the images. The predictions and the small maps stay."""
        kept = self.evaluated
        self.evaluated = replace(
            kept,
            mistakes=kept.mistakes[:0].copy(),
            mistake_indices=kept.mistake_indices[:0],
            heatmaps=None,
            images=None,
        )


@dataclass(frozen=True)
class Watched:
    """Some test images, watched during training.

    Attributes:
        facts: Their predictions after each epoch.
        images: The images, a `uint8` array of shape `(n, height, width, channels)`, in the order of `facts.images`.
        maps: The map of each image after each epoch, `float32` of shape `(n * epochs, h, w)`, ≥ 0, image by image;
            `None` if they were not kept.
    """

    facts: Evolution
    images: np.ndarray
    maps: np.ndarray | None


class Memory:
    """The checkpoints of one training run.

    Predictions and maps of all checkpoints are kept, images only of the first and the last one. Nothing is kept, and
    there is nothing to show, if the data isn't the same in each pass.

    Attributes:
        notes: Why there is nothing to show, or empty.
    """

    def __init__(self) -> None:
        self._checkpoints: list[Checkpoint] = []
        self.notes: tuple[str, ...] = ()

    def give_up(self) -> None:
        """Keeps nothing from now on, because the data isn't the same in each pass."""
        self._checkpoints.clear()
        self.notes = (OTHER_ORDER,)

    def add(self, epoch: int, evaluated: Evaluated) -> None:
        """Adds a checkpoint; it replaces those of the same epoch and of later ones.

        Args:
            epoch: Counted from 1.
            evaluated: The evaluation, with `every_map` if the maps are to be shown.
        """
        self._checkpoints = [each for each in self._checkpoints if each.epoch < epoch]
        if self._checkpoints and self._checkpoints[0].evaluated.fingerprint != evaluated.fingerprint:
            self.give_up()
        if self.notes:
            return
        self._checkpoints.append(Checkpoint(epoch, evaluated))
        for between in self._checkpoints[1:-1]:
            between.forget_images()

    def watched(self) -> Watched | None:
        """The images to show; `None` with fewer than two checkpoints, without mistakes, or with a note."""
        if len(self._checkpoints) < 2:
            return None
        places = np.unique(np.linspace(0, len(self._checkpoints) - 1, SHOWN).round().astype(int))
        shown = [self._checkpoints[place] for place in places]
        states = [each.evaluated for each in shown]
        indices, images = _chosen(states[0], states[-1])
        if not indices:
            return None
        evolution = Evolution(
            epochs=[each.epoch for each in shown],
            accuracies=[1 - len(each.predictions.misclassified) / len(each.predictions.labels) for each in states],
            images=_watched(indices, states),
        )
        return Watched(evolution, np.stack(images), _maps(indices, states))


def _chosen(first: Evaluated, last: Evaluated) -> tuple[list[int], list[np.ndarray]]:
    """Returns the images to follow: mistakes of the last checkpoint, then corrected mistakes of the first."""
    still, before = (_with_pictures(state) for state in (last, first))
    fixed = before[~np.isin(before, last.predictions.misclassified)].tolist()
    still = still.tolist()
    half = WATCHED // 2
    still, fixed = still[: max(half, WATCHED - len(fixed))], fixed[: max(half, WATCHED - len(still))]
    sources = [(index, last) for index in still] + [(index, first) for index in fixed]
    return still + fixed, [state.mistakes[np.searchsorted(state.mistake_indices, index)] for index, state in sources]


def _with_pictures(state: Evaluated) -> np.ndarray:
    """The mistakes whose images were kept, highest loss first."""
    ranked = state.predictions.ranked_mistakes
    return ranked[np.isin(ranked, state.mistake_indices)]


def _watched(indices: list[int], states: list[Evaluated]) -> list[WatchedImage]:
    labels = states[0].predictions.labels[indices].tolist()
    moments = [
        [Moment(predicted, finite(confidence)) for predicted, confidence in zip(named, sure, strict=True)]
        for named, sure in (
            (each.predictions.predicted[indices].tolist(), each.predictions.confidence[indices]) for each in states
        )
    ]
    return [
        WatchedImage(index, label, list(of_image))
        for index, label, of_image in zip(indices, labels, zip(*moments, strict=True), strict=True)
    ]


def _maps(indices: list[int], states: list[Evaluated]) -> np.ndarray | None:
    """The map of each image at each checkpoint, `float32` of shape `(images * checkpoints, h, w)`, image by image."""
    every = [state.every_map for state in states if state.every_map is not None]
    if len(every) < len(states):
        return None
    return np.stack([of_epoch[index] for index in indices for of_epoch in every]).astype(np.float32)
