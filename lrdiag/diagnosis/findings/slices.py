"""Rules about groups of test images."""

from __future__ import annotations

import numpy as np

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, Passed, images_where
from lrdiag.diagnosis.findings.showing import shown_mistakes
from lrdiag.diagnosis.groups import CLUSTER
from lrdiag.formats import count, percent, plural, probability, short
from lrdiag.record.data_facts import Slice, unpacked

_MOST_NAMED = 3
_LONGEST_NAME = 200
"""Enough for a description of images, with its limits in parentheses; a folder from outside may be longer."""
CERTAIN = 0.004
"""Probability of such a deviation by chance, corrected for the number of groups, up to which a slice is a warning."""


def weak_slice(evidence: Evidence, threshold: float) -> Answer:
    """A group of images fails far more often than others of the same classes: by more than `threshold`.

    For a folder or a value of the metadata, half of the threshold is enough. A cluster needs twice the threshold. A
    smaller deviation is a note, and so is a part of one class. Sound data always has clusters, and classes have parts,
    that are harder than others.
    """
    facts, slices = evidence.facts, given(evidence.slices)
    if not slices:
        return Passed(None, threshold)
    strong = [each for each in slices if is_strong(each, threshold)]
    worst, *others = strong or slices
    members = unpacked(worst.members, facts.test.size)
    return Found(
        f"The model fails more often on one group of images: {worst.name}.",
        _evidence(worst, others),
        "Look at its misclassified images. Add such images to the training data, or an augmentation that makes them; "
        "check their labels; or leave them out if the model will not meet them.",
        worst.excess,
        threshold,
        images_where(evidence, lambda wrong: np.isin(wrong.index, members)),
        why="The accuracy of all images hides a group on which the model is much worse.",
        severity=None if strong else "note",
        exhibits=shown_mistakes(evidence, lambda wrong: np.isin(wrong.index, members), by_confidence=False),
    )


def is_strong(each: Slice, threshold: float) -> bool:
    """Whether a slice is more than a note."""
    if each.label is not None or each.p_value > CERTAIN:
        return False
    return each.excess > threshold * (0.5 if each.is_given else 2 if each.source == CLUSTER else 1)


def _evidence(worst: Slice, others: list[Slice]) -> str:
    text = (
        f"{count(worst.wrong)} of its {plural(worst.size, 'image')} are misclassified, {percent(worst.error)} "
        f"(95\u00a0% interval {percent(worst.error_low)} to {percent(worst.error_high)}). Other images of the same "
        f"classes have an error of {percent(worst.expected)} (p\u00a0=\u00a0{probability(worst.p_value)}, corrected "
        f"for the number of groups).{f' They stand out by {worst.looks}.' if worst.looks else ''}"
    )
    named = [
        f"{short(each.name, _LONGEST_NAME)} ({percent(each.error)} instead of {percent(each.expected)})"
        for each in others
    ]
    return text + (f" Further groups: {'; '.join(named[:_MOST_NAMED])}." if named else "")
