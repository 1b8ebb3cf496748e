"""Makes all experiments with a trained model."""

from __future__ import annotations

from collections.abc import Sequence

from lrdiag.experiments.corrections import try_corrections
from lrdiag.experiments.scoring import Scores
from lrdiag.experiments.shortcuts import find_shortcuts
from lrdiag.record.experiments import Experiments, attempted
from lrdiag.record.image_table import ImageTable


def experiment(scores: Scores, test: ImageTable, training: ImageTable | None, classes: Sequence[str]) -> Experiments:
    """Makes all experiments for which there are inputs.

    Args:
        scores: The model.
        test: The test images.
        training: The training images, or `None`.
        classes: Name of each class.
    """
    if test.inputs is None:
        reason = "the model does not take single images in the form that is shown"
        return Experiments(reasons=dict.fromkeys(("corrections", "shortcuts"), reason))
    reasons: dict[str, str] = {}
    corrected = attempted("corrections", lambda: try_corrections(scores, test, training), reasons)
    searched = attempted("shortcuts", lambda: find_shortcuts(scores, test, training, classes), reasons)
    if searched is None:
        reasons.setdefault("shortcuts", "the inputs are not images, or fewer than two classes have 10 of them")
    corrections, changed = corrected or (None, {})
    shortcuts, marked = searched or (None, {})
    return Experiments(corrections, shortcuts, {**changed, **marked}, reasons)
