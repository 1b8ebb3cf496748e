"""How a network came to see single images as it does: some of its mistakes, followed through training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lrdiag.errors import DataError
from lrdiag.evaluation.evaluator import Evaluated
from lrdiag.explain.engine import Explained
from lrdiag.record.facts import Evolution, Moment, WatchedImage
from lrdiag.record.pictures import FILES, Pictures, Sheet
from lrdiag.report.pictures.sheets import heatmap_sheet, photograph_sheet

WATCHED = 12  # images: half of them still mistakes, half fixed, where there are as many
SHOWN = 10  # epochs at most, the first and the last among them


@dataclass
class Checkpoint:
    """What the network said of every image after one epoch, or where a person stopped it in the next.

    Attributes:
        epoch: Counted from 1.
        evaluated: What came out of the test.
        maps: Batches of `float16` arrays `(n, h, w)`: every image's map for the class predicted then; empty without.
    """

    epoch: int
    evaluated: Evaluated
    maps: list[np.ndarray]

    def forget_pictures(self) -> None:
        """Keeps the predictions and the maps of this time, which are small."""
        self.evaluated = dataclasses.replace(self.evaluated, mistakes=self.evaluated.mistakes[:0].copy(), heatmaps=None)


class Memory:
    """The checkpoints of one training.

    Only small maps, probabilities and the pictures of the first and the last mistakes are kept.
    """

    def __init__(self) -> None:
        self._checkpoints: list[Checkpoint] = []

    def evaluate(self, epoch: int, evaluate: Callable[[Callable[[Explained], None]], Evaluated]) -> Evaluated:
        """Makes a checkpoint; a later one of the same epoch takes its place.

        Args:
            epoch: Counted from 1.
            evaluate: Puts the network to the test, and tells its argument of each batch.

        Raises:
            DataError: If the images come in another order than before.
        """
        maps: list[np.ndarray] = []

        def keep(batch: Explained) -> None:
            if batch.every_map is not None:
                maps.append(np.maximum(batch.every_map, 0).astype(np.float16))

        evaluated = evaluate(keep)
        self._checkpoints = [each for each in self._checkpoints if each.epoch != epoch]
        if self._checkpoints and self._checkpoints[0].evaluated.fingerprint != evaluated.fingerprint:
            raise DataError(
                "The validation data must give the same images in the same order in every pass. Build it with "
                "shuffle=False and without augmentation. Received: other images, or another order, than after epoch "
                f"{self._checkpoints[0].epoch}"
            )
        self._checkpoints.append(Checkpoint(epoch, evaluated, maps))
        for between in self._checkpoints[1:-1]:
            between.forget_pictures()
        return evaluated

    def evolution(self) -> tuple[Evolution | None, Pictures]:
        """What the page shows of it, and its pictures; nothing where there were fewer than two checkpoints."""
        pictures = Pictures()
        places = np.unique(np.linspace(0, len(self._checkpoints) - 1, SHOWN).round().astype(int))
        if len(places) < 2:
            return None, pictures
        shown = [self._checkpoints[place] for place in places]
        states = [each.evaluated for each in shown]
        images, photographs = _chosen(states[0], states[-1])
        if not images:
            return None, pictures
        pictures.add("evolution", photograph_sheet(photographs, FILES["evolution"]))
        if all(each.maps for each in shown):
            pictures.add("evolution-maps", _maps(images, shown))
        return Evolution(
            epochs=[each.epoch for each in shown],
            accuracies=[1 - len(each.predictions.misclassified) / len(each.predictions.labels) for each in states],
            images=[_watched(index, states) for index in images],
        ), pictures


def _chosen(first: Evaluated, last: Evaluated) -> tuple[list[int], list[np.ndarray]]:
    """The images to follow, and their pictures: mistakes of the end, then those of the beginning that were fixed."""
    still = last.predictions.ranked_mistakes.tolist()
    fixed = [index for index in first.predictions.ranked_mistakes.tolist() if index not in set(still)]
    half = WATCHED // 2
    still, fixed = still[: max(half, WATCHED - len(fixed))], fixed[: max(half, WATCHED - len(still))]
    sources = [(index, last) for index in still] + [(index, first) for index in fixed]
    return still + fixed, [
        state.mistakes[np.searchsorted(state.predictions.misclassified, index)] for index, state in sources
    ]


def _watched(index: int, states: list[Evaluated]) -> WatchedImage:
    true = int(states[0].predictions.labels[index])
    moments = []
    for state in states:
        probabilities = np.exp(state.predictions.log_probabilities[index])
        predicted = int(probabilities.argmax())
        moments.append(Moment(predicted, float(probabilities[predicted]), float(probabilities[true])))
    return WatchedImage(index, true, moments)


def _maps(images: list[int], checkpoints: list[Checkpoint]) -> tuple[Sheet, bytes]:
    """The maps of each image at each checkpoint, each scaled to its own peak."""
    every = [np.concatenate(each.maps) for each in checkpoints]
    maps = np.stack([of_epoch[index] for index in images for of_epoch in every]).astype(np.float32)
    return heatmap_sheet(maps, maps.max(axis=(1, 2)), FILES["evolution-maps"])
