"""Rules about wrong labels that single images show."""

from __future__ import annotations

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import MOST_IMAGES, Answer, Found, NotChecked, Passed
from lrdiag.formats import percent, plural, probability
from lrdiag.record.image_table import Part

CERTAIN = 0.001
"""Probability that correct labels are contradicted so much by chance."""
_WORDS: dict[Part, str] = {"test": "test", "train": "training"}


def test_label_errors(evidence: Evidence, threshold: float) -> Answer:
    """More than the share `threshold` of the test labels is wrong, at least."""
    return _label_errors(
        evidence,
        "test",
        threshold,
        why="A wrong test label counts a correct prediction as an error, and the other way around.",
    )


def training_label_errors(evidence: Evidence, threshold: float) -> Answer:
    """More than the share `threshold` of the training labels is wrong, at least."""
    return _label_errors(
        evidence,
        "train",
        threshold,
        why="Wrong labels cost accuracy, most of all in a long training run, which learns them by heart.",
    )


def _label_errors(evidence: Evidence, part: Part, threshold: float, why: str) -> Answer:
    noise = _noise(evidence, part)
    if noise is None:
        return NotChecked("the labels of the training images were not examined")
    if noise.p_value >= CERTAIN or noise.low <= threshold:
        return Passed(noise.share, threshold)
    suspects = [each for each in given(evidence.suspects) if each.image.part == part]
    images = given(evidence.images(part))
    listed = f"{plural(len(suspects), 'image')} {'is' if len(suspects) == 1 else 'are'} more likely wrong than right"
    more = " or more" if len(suspects) >= _MOST_LISTED else ""
    return Found(
        f"About {percent(noise.share)} of the {_WORDS[part]} labels are wrong.",
        f"Between {percent(noise.low)} and {percent(noise.high)} of the labels of "
        f"{plural(images.size, f'{_WORDS[part]} image')} are wrong (95 % interval). The labels of {listed}{more}: the "
        "model and a simple classifier of the pictures contradict them. If no label were wrong, the probability of so "
        f"many contradictions would be {probability(noise.p_value)}.",
        "Look at the suspects, most suspect first, and correct or remove wrong labels.",
        noise.share,
        threshold,
        [each.image.index for each in suspects[:MOST_IMAGES]] if part == "test" else (),
        why=why,
        exhibits=_exhibits(suspects, images, evidence.facts.dataset.classes),
    )
