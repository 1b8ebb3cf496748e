"""Tries corrections of the test images, and what the differences between test and training images cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from lrdiag.data.preprocessing import stretched
from lrdiag.experiments.changes import REVERSED, Change, corrections, shifts
from lrdiag.experiments.scoring import Scores, batch_size, in_batches
from lrdiag.images.shift import differences
from lrdiag.intervals import Z, mcnemar
from lrdiag.record.data_facts import Correction, ImageRef
from lrdiag.record.experiments import Changed
from lrdiag.record.image_table import ImageTable

SCREENED, MEASURED = 64, 512
"""Images that a correction is tried on: first, and if it seems to help."""
LEAST_GAIN = 0.10
"""Gain of accuracy that a mistake in the preparation of images costs at least."""
UNLIKELY = 6.3e-5
"""Probability of a gain by chance: 4 standard deviations."""
LEARNED = 0.8
"""Accuracy on training images from which on their scale is the right one."""
_FINALISTS = 3
_SHOWN = 12


def try_corrections(
    scores: Scores, test: ImageTable, training: ImageTable | None
) -> tuple[list[Correction], dict[str, list[Changed]]]:
    """Tries plausible corrections of the test images, and measures what their difference from training images costs.

    A correction is tried on 64 images, and the three best on 512. What differs is applied to 512 training images.

    Args:
        scores: Returns the scores of the model. It is called with 256 images each time.
        test: The test images. They have inputs.
        training: The training images, or `None`.

    Returns:
        The changes that were tried, those on many images first, then the highest gain first; and test images before and
        after the best correction, by its name.
    """
    trial = Trial.of(scores, test)
    known = None if training is None or training.inputs is None else Trial.of(scores, training)
    changes = []
    if trial.accuracy <= 1 - LEAST_GAIN:
        is_learned = known is not None and known.accuracy >= LEARNED
        changes = corrections(trial.inputs, None if known is None else known.inputs, is_learned=is_learned)
    tried, changed = trial.best_of(changes)
    if known is not None and training is not None:
        found = differences(test, training) or []
        tried += [known.measured(each) for each in shifts(found, trial.inputs, known.inputs)]
    return sorted(tried, key=lambda each: (-each.images, -each.gain)), changed


@dataclass(frozen=True)
class Trial:
    """Images on which changes are tried.

    Attributes:
        scores: Returns the scores of the model.
        table: The images.
        inputs: Those that the model received, of shape `(k, height, width, channels)`.
    """

    scores: Scores
    table: ImageTable
    inputs: np.ndarray

    @classmethod
    def of(cls, scores: Scores, table: ImageTable) -> Trial:
        """Takes the images of a table that has inputs. Inputs without channels get one."""
        inputs = table.inputs
        if inputs is None:
            raise ValueError("Changes can be tried on a table with inputs only. Received: none")
        if inputs.ndim == 4:
            return cls(scores, table, inputs)
        shape, images = inputs.shape[1:], inputs.reshape(*(*inputs.shape, 1, 1)[:3], -1)
        return cls(lambda given: scores(given.reshape(-1, *shape)), table, images)

    @property
    def labels(self) -> np.ndarray:
        """The class of each image."""
        return np.asarray(self.table.labels[self.table.input_rows])

    @property
    def right(self) -> np.ndarray:
        """Whether each image is classified correctly as it is."""
        return np.asarray(self.table.predictions.predicted[self.table.input_rows] == self.labels)

    @property
    def accuracy(self) -> float:
        """The accuracy on the images as they are."""
        return float(self.right.mean())

    def best_of(self, changes: Sequence[Change]) -> tuple[list[Correction], dict[str, list[Changed]]]:
        """Tries all changes on few images, and the best on more. Shows the best one."""
        screened = self._screened(changes)
        helpful = sorted(
            (each for each in changes if screened[each.name].gain > 0), key=lambda each: -screened[each.name].gain
        )
        finalists = helpful[:_FINALISTS]
        measured = {each.name: self.measured(each) for each in finalists}
        best = max(finalists, key=lambda each: measured[each.name].gain, default=None)
        if best is None or not is_certain(measured[best.name]):
            return list((screened | measured).values()), {}
        if self.inputs.shape[-1] == 3 and best is not REVERSED:
            both = best.then(REVERSED)
            measured[both.name] = self.measured(both)
            best = max(best, both, key=lambda each: measured[each.name].gain)
        return list((screened | measured).values()), {best.name: self._shown(best)}

    def measured(self, change: Change) -> Correction:
        """Measures the accuracy on many changed images."""
        places = evenly(len(self.inputs), MEASURED)
        return self._compared(change, places, self._right(change.apply(self.inputs[places]), places))

    def _screened(self, changes: Sequence[Change]) -> dict[str, Correction]:
        places = evenly(len(self.inputs), SCREENED)
        few, found = self.inputs[places], {}
        at_once = max(1, batch_size(few) // len(places))
        for start in range(0, len(changes), at_once):
            together = changes[start : start + at_once]
            changed = np.concatenate([np.asarray(each.apply(few), np.float32) for each in together])
            right = self._right(changed, np.tile(places, len(together))).reshape(len(together), -1)
            found.update(
                {each.name: self._compared(each, places, row) for each, row in zip(together, right, strict=True)}
            )
        return found

    def _right(self, images: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.asarray(in_batches(self.scores, np.asarray(images, np.float32)).argmax(axis=1) == self.labels[places])

    def _compared(self, change: Change, places: np.ndarray, after: np.ndarray) -> Correction:
        before = self.right[places]
        broken, fixed, size = int((before & ~after).sum()), int((after & ~before).sum()), len(places)
        gain = (fixed - broken) / size
        reach = Z * sqrt(max(broken + fixed - size * gain**2, 0.0)) / size
        return Correction(
            self.table.part,
            change.name,
            change.code,
            size,
            float(before.mean()),
            float(after.mean()),
            gain - reach,
            mcnemar(broken, fixed) if broken + fixed else 1.0,
        )

    def _shown(self, change: Change) -> list[Changed]:
        """Images that are classified correctly only after the change. Both have the range of the changed images."""
        places = evenly(len(self.inputs), MEASURED)
        changed = np.asarray(change.apply(self.inputs[places]), np.float32)
        fixed = np.flatnonzero(self._right(changed, places) & ~self.right[places])[:_SHOWN]
        low, high = float(changed.min()), float(changed.max())
        rows = self.table.input_rows[places]
        return [
            Changed(
                ImageRef(self.table.part, int(self.table.indices[rows[each]]), self.table.file(int(rows[each]))),
                f"misclassified as it is, correct if {change.name}",
                stretched(self.inputs[places[each]], low, high),
                stretched(changed[each], low, high),
            )
            for each in fixed.tolist()
            if self.inputs.shape[-1] in (1, 3)
        ]


def is_certain(correction: Correction) -> bool:
    """Whether a change gains accuracy beyond chance."""
    return correction.gain > 0 and correction.p_value < UNLIKELY


def evenly(size: int, most: int) -> np.ndarray:
    """Returns at most so many places, evenly spaced: `int64` of shape `(k,)`.

    Example:
        >>> evenly(10, 4).tolist()
        [0, 3, 6, 9]
    """
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))
