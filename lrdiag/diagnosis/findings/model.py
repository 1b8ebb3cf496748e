"""Rules about the evaluation of the model, its heatmaps and its learning rate."""

from __future__ import annotations

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed, option
from lrdiag.formats import loss as loss_text
from lrdiag.formats import percent, plural


def predict_mismatch(evidence: Evidence) -> Answer:
    """The outputs that were evaluated are not those of `model.predict`. Such a model is refused before the report."""
    agreement = given(evidence.agreement)
    if agreement.no_predict is not None:
        return NotChecked(agreement.no_predict)
    return Passed(agreement.difference, agreement.tolerance)


def evaluate_mismatch(evidence: Evidence) -> Answer:
    """Accuracy or loss of the first images is not that of `model.evaluate`."""
    agreement = given(evidence.agreement)
    compared = {"accuracy": agreement.accuracy, "loss": agreement.loss}
    for name in agreement.differs:
        figures = compared[name]
        if figures is not None:
            show = percent if name == "accuracy" else loss_text
            return Found(
                f"model.evaluate gives another {name} than the outputs of model.predict.",
                f"On the first {plural(agreement.images, 'image')}: {show(figures.theirs)} by model.evaluate, "
                f"{show(figures.own)} by the outputs of model.predict, which this report uses.",
                "Check that `test_step` and `predict_step` prepare the images alike.",
                abs(figures.theirs - figures.own),
                0.0,
                why="The two methods use the model differently, so only one of them can be what you want.",
            )
    if agreement.accuracy is None and agreement.loss is None:
        return NotChecked(agreement.no_evaluate or "the model updates no metric in model.evaluate")
    differences = [abs(each.theirs - each.own) for each in compared.values() if each is not None]
    return Passed(round(max(differences), 6))


def no_heatmaps(evidence: Evidence) -> Answer:
    """Grad-CAM is not possible for this model."""
    unavailable = evidence.facts.heatmaps.unavailable
    if unavailable is None:
        return Passed()
    return Found(
        "The misclassified images have no heatmaps.",
        unavailable,
        "Use a model with convolutions to see which parts of an image it uses.",
        why="The report can't show which parts of an image the model uses.",
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
        why="The default rate, which was used instead, may be much too high or too low.",
    )
