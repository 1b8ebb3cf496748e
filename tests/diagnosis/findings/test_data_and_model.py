"""Rules about the data, the loss, the heatmaps and the range test."""

from __future__ import annotations

import dataclasses

import pytest
from fixtures.diagnoses import balanced, facts_of, finding, result

from lrdiag.diagnosis.evidence import MISSING, Evidence, ModelLoss
from lrdiag.record.agreement import Agreement, Compared
from lrdiag.record.arrays import SkippedFile
from lrdiag.record.facts import Diagnosis, HeatmapFacts, RangeTestFacts

SOUND = balanced(4, 50, 47)


def with_data(command: str = "", **changes: object) -> Diagnosis:
    facts = facts_of(SOUND, command)
    return dataclasses.replace(facts, dataset=dataclasses.replace(facts.dataset, **changes))


def test_stand_in_data() -> None:
    found = finding(with_data(fallback="There is no connection."), "stand-in-data")
    assert found.title == "CIFAR-10 was not available. The toys data was used instead."
    assert found.evidence == "There is no connection."
    assert "data_dir" in found.advice
    assert "--data-dir" in finding(with_data("lrdiag …", fallback="There is none."), "stand-in-data").advice
    assert result(facts_of(SOUND), "stand-in-data").status == "passed"


@pytest.mark.parametrize(
    ("number", "title"),
    [(1, "1 file could not be read and was left out."), (1200, "1,200 files could not be read and were left out.")],
)
def test_skipped_files(number: int, title: str) -> None:
    skipped = [SkippedFile(f"{place}.png", "it is cut") for place in range(number)]
    found = finding(with_data(skipped=skipped), "skipped-files")
    assert (found.title, found.evidence) == (title, "The first: 0.png: it is cut.")
    assert (found.value, found.threshold) == (number, 0)
    assert result(facts_of(SOUND), "skipped-files").status == "passed"


@pytest.mark.parametrize(("maximum", "status"), [(None, "passed"), (16, "passed"), (15, "found"), (3, "found")])
def test_16_bit_images_that_use_little_of_their_range(maximum: int | None, status: str) -> None:
    facts = with_data(sixteen_bit_max=maximum)
    assert result(facts, "narrow-range").status == status
    if maximum == 15:
        found = finding(facts, "narrow-range")
        assert "below 4,096. The range 0 to 65,535" in found.evidence, "12 bits"
        assert found.value == found.threshold == 1 / 16


@pytest.mark.parametrize(
    ("loss", "title", "advice"),
    [
        (ModelLoss(True, True), "The model returns probabilities, but its loss expects logits.", "from_logits=False"),
        (ModelLoss(False, False), "The model returns logits, but its loss expects probabilities.", "from_logits=True"),
    ],
)
def test_loss_mismatch(loss: ModelLoss, title: str, advice: str) -> None:
    found = finding(Evidence(facts_of(SOUND), loss=loss), "loss-mismatch")
    assert found.title == title
    assert f"from_logits={loss.takes_logits}" in found.evidence
    assert advice in found.advice


def test_a_loss_that_fits_passes_and_an_unknown_one_is_not_checked() -> None:
    for loss in (ModelLoss(True, False), ModelLoss(False, True)):
        assert result(Evidence(facts_of(SOUND), loss=loss), "loss-mismatch").status == "passed"
    assert result(facts_of(SOUND), "loss-mismatch").reason == MISSING["loss"]


def test_a_loss_that_keras_computes_rightly_is_a_note() -> None:
    recovers = Evidence(facts_of(SOUND), loss=ModelLoss(True, True, recovers=True))
    assert result(recovers, "loss-mismatch").status == "passed"
    found = finding(recovers, "ignored-from-logits")
    assert (found.title, found.advice) == (
        "The loss was compiled with from_logits=True, which Keras ignores here.",
        "Compile it with `from_logits=False`.",
    )
    unclear = Evidence(facts_of(SOUND), loss=ModelLoss(True, True, recovers=None))
    assert result(unclear, "loss-mismatch").status == "not checked"
    for loss in (ModelLoss(True, True), ModelLoss(True, False), ModelLoss(True, True, recovers=None)):
        assert result(Evidence(facts_of(SOUND), loss=loss), "ignored-from-logits").status == "passed"


def test_predict_mismatch_has_the_difference_or_the_reason() -> None:
    """A difference above the tolerance is refused before there is a report."""
    check = result(Evidence(facts_of(SOUND), agreement=Agreement(32, 2e-6, 1e-4)), "predict-mismatch")
    assert (check.status, check.value, check.threshold) == ("passed", 2e-6, 1e-4)
    random = Agreement(32, 0.3, 1e-4, no_predict="the model is random at inference")
    assert result(Evidence(facts_of(SOUND), agreement=random), "predict-mismatch").reason == random.no_predict


@pytest.mark.parametrize(
    ("name", "figures", "evidence"),
    [
        ("accuracy", Compared(0.5, 0.75), "75.0 % by model.evaluate, 50.0 % by the outputs of model.predict"),
        ("loss", Compared(1.5, 0.25), "0.250 by model.evaluate, 1.500 by the outputs of model.predict"),
    ],
)
def test_evaluate_mismatch(name: str, figures: Compared, evidence: str) -> None:
    same = Agreement(8, 0.0, 1e-4, accuracy=Compared(0.5, 0.5), loss=Compared(1.5, 1.5))
    assert result(Evidence(facts_of(SOUND), agreement=same), "evaluate-mismatch").status == "passed"
    differing = dataclasses.replace(same, **{name: figures}, differs=(name,))
    found = finding(Evidence(facts_of(SOUND), agreement=differing), "evaluate-mismatch")
    assert found.title == f"model.evaluate gives another {name} than the outputs of model.predict."
    assert f"On the first 8 images: {evidence}" in found.evidence


def test_evaluate_mismatch_is_not_checked_if_nothing_was_compared() -> None:
    nothing = Agreement(8, 0.0, 1e-4, no_evaluate="the model is not compiled")
    check = result(Evidence(facts_of(SOUND), agreement=nothing), "evaluate-mismatch")
    assert check.reason == "the model is not compiled"
    silent = result(Evidence(facts_of(SOUND), agreement=Agreement(8, 0.0, 1e-4)), "evaluate-mismatch")
    assert silent.reason == "the model updates no metric in model.evaluate"


def test_no_heatmaps() -> None:
    facts = facts_of(SOUND, heatmaps=HeatmapFacts("Grad-CAM", None, 0, "The model has no convolution."))
    assert finding(facts, "no-heatmaps").evidence == "The model has no convolution."
    assert result(facts_of(SOUND), "no-heatmaps").status == "passed"


def test_no_suggestion() -> None:
    flat = RangeTestFacts([0.1], [1.0], [1.0], "the loss diverged")
    note = "The loss does not fall."
    facts = facts_of(SOUND, "lrdiag …", range_test=flat, range_test_note=note, made_by="train_and_report")
    found = finding(facts, "no-suggestion")
    assert found.evidence == "The loss does not fall."
    assert "--learning-rate" in found.advice
    of_the_users_own = finding(facts_of(SOUND, range_test=flat), "no-suggestion")
    assert of_the_users_own.evidence == "It ended after 1 update: the loss diverged."
    assert "--" not in of_the_users_own.advice
    assert result(facts_of(SOUND), "no-suggestion").status == "passed"
    given = facts_of(SOUND, range_test=None, range_test_note="The learning rate was given.")
    assert result(given, "no-suggestion").reason == MISSING["range_test"]
