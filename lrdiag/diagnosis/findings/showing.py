"""Test images as exhibits of a finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import MOST_EXHIBITS, Shown
from lrdiag.explain.overlay import overlay
from lrdiag.formats import percent, short
from lrdiag.record.data_facts import ImageRef
from lrdiag.record.facts import Mistake


def shown_mistakes(evidence: Evidence, condition: Callable[[Mistake], bool], *, by_confidence: bool) -> list[Shown]:
    """Returns misclassified test images that satisfy a condition, each with its heatmap if there is one.

    Args:
        evidence: The evidence.
        condition: Which images are shown.
        by_confidence: Whether the most confident come first. Otherwise, those with the highest loss do.
    """
    chosen = [each for each in evidence.facts.misclassified.items if condition(each)]
    if by_confidence:
        chosen = sorted(chosen, key=lambda each: -(each.confidence or 0.0))
    return [_shown(evidence, each) for each in chosen[:MOST_EXHIBITS]]


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
