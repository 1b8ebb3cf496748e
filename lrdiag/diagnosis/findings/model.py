"""Rules about the model, its loss, its heatmaps and its learning rate."""

from __future__ import annotations

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, Passed, option
from lrdiag.formats import plural


def loss_mismatch(evidence: Evidence) -> Answer:
    """The model returns probabilities and its loss expects logits, or the other way round."""
    loss = given(evidence.loss)
    if loss.takes_logits != loss.returns_probabilities:
        return Passed()
    returned, expected = ("probabilities", "logits") if loss.returns_probabilities else ("logits", "probabilities")
    return Found(
        f"The model returns {returned}, but its loss expects {expected}.",
        f"It was compiled with from_logits={loss.takes_logits}. Such a model trains badly or not at all.",
        f"Compile it with from_logits={not loss.takes_logits} and train it again.",
    )


def no_heatmaps(evidence: Evidence) -> Answer:
    """Grad-CAM is not possible for this model."""
    unavailable = evidence.facts.heatmaps.unavailable
    if unavailable is None:
        return Passed()
    return Found(
        "The misclassified images have no heatmaps.",
        unavailable,
        "Use a model with convolutions to see which parts of an image it uses.",
    )


def no_suggestion(evidence: Evidence) -> Answer:
    """No learning rate can be read from the range test."""
    test, facts = given(evidence.range_test), evidence.facts
    if test.suggestion is not None:
        return Passed()
    return Found(
        "The range test gave no learning rate.",
        facts.range_test_note or f"It ended after {plural(len(test.losses), 'update')}: {test.stop_reason}.",
        f"Set the learning rate, or the boundaries of a cycle, with {option(facts, 'learning-rate')}."
        if facts.made_by == "train_and_report"
        else "Run the range test on more batches or with a wider range of rates, or choose the learning rate yourself.",
    )
