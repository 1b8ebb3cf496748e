"""Test images as exhibits of a finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import MOST_EXHIBITS, Shown
from lrdiag.diagnosis.mistakes import describe
from lrdiag.explain.overlay import overlay
from lrdiag.formats import percent, short
from lrdiag.record.data_facts import ImageRef
from lrdiag.record.facts import Mistake
from lrdiag.record.wrong_images import WrongImages


def shown_mistakes(
    evidence: Evidence, condition: Callable[[WrongImages], np.ndarray], *, by_confidence: bool
) -> list[Shown]:
    """Returns misclassified test images that satisfy a condition, each with its heatmap if there is one.

    Args:
        evidence: The evidence.
        condition: Returns for each misclassified image whether it may be shown, a `bool` array.
        by_confidence: Whether the most confident come first. Otherwise, those with the highest loss do.
    """
    chosen = evidence.wrong.index[condition(evidence.wrong)]
    if by_confidence:
        chosen = chosen[np.argsort(-given(evidence.predictions).confidence[chosen], kind="stable")]
    return [_shown(evidence, each) for each in _described(evidence, chosen[:MOST_EXHIBITS])]


def _described(evidence: Evidence, indices: np.ndarray) -> list[Mistake]:
    """The misclassified images in this order, also those that are too many for the facts."""
    known = {each.index: each for each in evidence.facts.misclassified.items}
    others = np.array([each for each in indices.tolist() if each not in known], np.int64)
    if len(others):
        known |= {each.index: each for each in describe(given(evidence.predictions), others)}
    return [known[each] for each in indices.tolist()]


def _shown(evidence: Evidence, mistake: Mistake) -> Shown:
    names = evidence.facts.dataset.classes
    confidence = "" if mistake.confidence is None else f" ({percent(mistake.confidence)} confident)"
    caption = f"{short(names[mistake.true])}, predicted {short(names[mistake.predicted])}{confidence}"
    return Shown(ImageRef("test", mistake.index, mistake.file), caption, tuple(_pictures(evidence, mistake.index)))


def _pictures(evidence: Evidence, index: int) -> Sequence[np.ndarray]:
    """The image and its heatmap, as far as they are available."""
    images, heatmaps = evidence.test_images, evidence.heatmaps
    row = -1 if images is None else _place(images.indices, index)
    if images is None or row < 0:
        return []
    picture = images.pictures[row]
    place = -1 if heatmaps is None else _place(heatmaps.indices, index)
    return [picture] if heatmaps is None or place < 0 else [picture, overlay(picture, heatmaps.predicted[place])]


def _place(ascending: np.ndarray, value: int) -> int:
    place = int(np.searchsorted(ascending, value))
    return place if place < len(ascending) and ascending[place] == value else -1
