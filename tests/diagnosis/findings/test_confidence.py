"""Rules about confidence and thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.diagnoses import balanced, facts_of, finding, result

from lrdiag.diagnosis.calibration import temperature_of
from lrdiag.diagnosis.evidence import Evidence
from lrdiag.record.arrays import Predictions, log_softmax
from lrdiag.record.data_facts import DataFacts
from lrdiag.record.facts import Epoch, TrainingRun

CODES = ("overconfident", "underconfident")


def drawn(scale: float, count: int = 1000, classes: int = 4, seed: int = 0) -> Predictions:
    """Predictions whose confidence is right if `scale` is 1: the labels are drawn from them, then logits are scaled."""
    generator = np.random.default_rng(seed)
    logs = log_softmax(generator.normal(0, 1.5, (count, classes)))
    labels = (generator.random((count, 1)) > np.exp(logs).cumsum(axis=1)).sum(axis=1)
    return Predictions(log_softmax(logs * scale), np.minimum(labels, classes - 1))


def evidence(predictions: Predictions, training: TrainingRun | None = None) -> Evidence:
    confusion = np.zeros((predictions.classes,) * 2, int)
    np.add.at(confusion, (predictions.labels, predictions.predicted), 1)
    facts = facts_of(confusion, training=training, data=DataFacts(temperature=temperature_of(predictions)))
    return Evidence(facts, predictions=predictions)


@pytest.mark.parametrize("count", [150, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_right_confidence_passes(count: int, seed: int) -> None:
    given = evidence(drawn(1.0, count, seed=seed))
    assert [result(given, code).status for code in CODES] == ["passed", "passed"]


def test_overconfident() -> None:
    given = evidence(drawn(4.0))
    found = finding(given, "overconfident")
    assert found.severity == "warning"
    assert "The model is overconfident: its confidence is 88.4" in found.title
    assert "Logits divided by a temperature of 3.69 reduce it from " in found.evidence
    assert found.advice.startswith("Divide the logits by 3.69 before")
    assert found.value > 0.2
    assert result(given, "underconfident").status == "passed"


def test_a_little_overconfident_is_a_note() -> None:
    assert finding(evidence(drawn(1.6)), "overconfident").severity == "note"


def test_underconfident() -> None:
    found = finding(evidence(drawn(0.3)), "underconfident")
    assert found.title.startswith("The model is underconfident: its confidence is 3")
    assert "temperature of 0.28" in found.evidence


@pytest.mark.parametrize(("last", "severity"), [(1.0, "note"), (1.39, "warning")])
def test_underconfident_is_a_note_while_the_model_still_improves(last: float, severity: str) -> None:
    epochs = [Epoch(each, 0.5, each, 0.5, 1.0) for each in (1.4, last)]
    training = TrainingRun(epochs, [0.1] * 200, [1.0] * 200, 100, 2, "SGD", "constant", None, 1.0)
    assert finding(evidence(drawn(0.3), training), "underconfident").severity == severity


def test_is_not_checked_where_confidence_means_something_else() -> None:
    few, none = evidence(drawn(4.0, 60)), Predictions(None, np.arange(200) % 2, scores=np.zeros((200, 2)))
    sigmoids = Predictions(np.full((200, 3), np.log(0.9)), np.arange(200) % 3)
    reasons = [result(each, "overconfident").reason for each in (few, evidence(none), evidence(sigmoids))]
    assert reasons == [
        "60 images are too few", "the model gives no probabilities", "each class has a probability of its own",
    ]  # fmt: skip


def test_a_class_is_never_predicted() -> None:
    confusion = balanced(4, 50, 45)
    confusion[2] = [20, 20, 0, 10]
    confusion[:2, 2] = confusion[3, 2] = 0
    found = finding(facts_of(confusion), "never-predicted-class")
    assert found.title == "“2” is never predicted."
    assert found.evidence == "50 test images belong to this class, and all are misclassified."
    assert len(found.images) == 50
    assert result(facts_of(confusion), "weak-class").status == "explained"


def test_a_class_with_few_images_may_be_predicted_never() -> None:
    confusion = balanced(4, 50, 45)
    confusion[2] = [3, 3, 0, 3]
    confusion[:2, 2] = confusion[3, 2] = 0
    assert result(facts_of(confusion), "never-predicted-class").status == "passed"
    assert result(facts_of(balanced(4, 5, 4)), "never-predicted-class").reason == "no class has 10 test images"


class TestOneThreshold:
    def binary(self, shift: float, count: int = 600) -> Evidence:
        """Logits whose right threshold is `shift`."""
        generator = np.random.default_rng(0)
        labels = generator.integers(0, 2, count)
        logits = generator.normal(2.0 * (2 * labels - 1), 1.5) + shift
        return evidence(Predictions(log_softmax(np.stack([np.zeros(count), logits], axis=1)), labels))

    def test_fires_if_the_logits_are_shifted(self) -> None:
        found = finding(self.binary(3.0), "one-threshold")
        assert found.title == "A threshold of 0.5 does not suit “1”."
        assert "of the decisions are right at 0.5" in found.evidence
        assert found.value > 0.1

    def test_passes_where_half_is_right(self) -> None:
        assert result(self.binary(0.0), "one-threshold").status == "passed"

    def test_of_one_sigmoid_for_each_class(self) -> None:
        generator = np.random.default_rng(0)
        labels = np.arange(900) % 3
        logits = generator.normal(4.0 * (labels[:, None] == np.arange(3)) - 2, 1.0)
        logits[:, 1] += 2.5
        found = finding(evidence(Predictions(-np.log1p(np.exp(-logits)), labels)), "one-threshold")
        assert found.title == "A threshold of 0.5 does not suit “1”."

    def test_is_not_checked_for_a_softmax_or_few_images(self) -> None:
        assert "most probable class" in str(result(evidence(drawn(1.0)), "one-threshold").reason)
        assert result(self.binary(3.0, 100), "one-threshold").reason == "100 images are too few"
