"""Rules about the loss and the metrics."""

from __future__ import annotations

import dataclasses

import pytest
from fixtures.diagnoses import balanced, facts_of, finding, history, result
from fixtures.observed import LOGITS, ONE_HOT, START, TEN_CLASSES, compiled, dense, images, labels, plain, scores, seen

from lrdiag.diagnosis.evidence import MISSING, Evidence, ModelLoss
from lrdiag.record.observed import UNKNOWN, Compiled, Inspection, Labels

SOFTMAX_LAST = dense(10, "softmax")
UNKNOWN_LAST = plain("Reshape", sources=(UNKNOWN,), shape=(10,))


def test_logits_in_a_loss_of_probabilities_before_the_evaluation() -> None:
    found = finding(seen(dense(10), scores=LOGITS), "loss-mismatch")
    assert found.title == "The model returns logits, but its loss expects probabilities."
    assert "from_logits=False. The model ends without a softmax: its scores are between -2 and 3." in found.evidence
    assert "`from_logits=True`" in found.advice
    one = seen(dense(1), scores=scores(1, -0.1, 0.1), compiled=compiled("binary"))
    assert "without a sigmoid" in finding(one, "loss-mismatch").evidence


@pytest.mark.parametrize(("recovers", "mismatch", "ignored"), [
    (False, "found", "passed"), (True, "passed", "found"), (None, "not checked", "passed"),
])  # fmt: skip
def test_probabilities_in_a_loss_of_logits_before_the_evaluation(
    recovers: bool | None, mismatch: str, ignored: str
) -> None:
    start = dataclasses.replace(START, recovers=recovers)
    evidence = seen(SOFTMAX_LAST, compiled=compiled(takes_logits=True), start=start)
    assert result(evidence, "loss-mismatch").status == mismatch
    assert result(evidence, "ignored-from-logits").status == ignored


@pytest.mark.parametrize(
    "evidence",
    [
        seen(SOFTMAX_LAST),
        seen(dense(10), scores=LOGITS, compiled=compiled(takes_logits=True)),
        seen(dense(1), scores=scores(1, 0, 0), compiled=compiled("binary", takes_logits=True)),  # begins at zero
        seen(UNKNOWN_LAST),  # a softmax in `call`
        seen(UNKNOWN_LAST, scores=LOGITS, compiled=compiled(takes_logits=True)),
        seen(dense(10, "relu"), scores=scores(low=0, high=3, error=5)),  # last-activation
    ],
)
def test_no_loss_mismatch_before_the_evaluation(evidence: Evidence) -> None:
    assert result(evidence, "loss-mismatch").status == "passed"


def test_the_evaluation_decides_about_the_loss() -> None:
    evidence = dataclasses.replace(seen(dense(10), scores=LOGITS), loss=ModelLoss(False, True))
    assert result(evidence, "loss-mismatch").status == "passed"
    other = seen(dense(10), scores=LOGITS, compiled=compiled("distance"))
    assert result(other, "loss-mismatch").reason == MISSING["loss"]


@pytest.mark.parametrize(
    ("of", "units", "last", "data", "title", "advice"),
    [
        (compiled("distance"), 10, "softmax", ONE_HOT, "the mean squared error", '`loss="categorical_crossentropy"`'),
        (compiled("distance"), 1, "sigmoid", labels(50, 50), "the mean squared error", '`loss="binary_crossentropy"`'),
        (compiled("distance"), 1, "linear", TEN_CLASSES, "the mean squared error", "keras.layers.Dense(10, activation"),
        (compiled("binary"), 10, "softmax", ONE_HOT, "a softmax over 10 classes", '`loss="categorical_crossentropy"`'),
    ],
)
def test_a_wrong_loss(of: Compiled, units: int, last: str, data: Labels, title: str, advice: str) -> None:
    evidence = seen(dense(units, last), scores=scores(units), compiled=of, training_data=images(data))
    found = finding(evidence, "wrong-loss")
    assert title in found.title
    assert advice in found.advice


@pytest.mark.parametrize(
    ("of", "units", "last", "data"),
    [
        (compiled(), 10, "softmax", TEN_CLASSES),
        (compiled("other"), 10, "softmax", ONE_HOT),  # Kullback-Leibler
        (compiled("hinge"), 1, "tanh", labels(50, 50)),
        (compiled("binary"), 10, "sigmoid", ONE_HOT),
        (compiled("binary"), 2, "softmax", labels(50, 50, width=2)),
        (compiled("distance"), 1, "linear", labels(high=0.7, whole=False)),  # no classes
    ],
)
def test_a_right_loss(of: Compiled, units: int, last: str, data: Labels) -> None:
    evidence = seen(dense(units, last), scores=scores(units), compiled=of, training_data=images(data))
    assert result(evidence, "wrong-loss").status == "passed"


@pytest.mark.parametrize(
    ("of", "units", "data", "title", "advice"),
    [
        (
            compiled("distance"),
            10,
            TEN_CLASSES,
            "compares each with all 10 scores (broadcast)",
            "to_categorical(y, 10)",
        ),
        (compiled(), 10, labels(high=0.9, whole=False), "fractions, not whole class numbers", "astype"),
        (compiled(), 10, labels(low=-1, high=8), "class numbers below 0", "astype"),
        (
            compiled("categorical"),
            3,
            labels(9, 9, 9, width=3, high=255, sums_to_one=False),
            "don't sum to 1",
            "one-hot",
        ),
        (compiled("categorical"), 3, labels(9, 9, 9, width=3, sums_to_one=False), "don't sum to 1", "several labels"),
        (compiled("binary"), 1, labels(50, 50, low=-1), "between -1 and 1, but binary_crossentropy", "y > 0"),
        (compiled("binary"), 1, labels(0, 50, 50, low=1), "between 1 and 2, but binary_crossentropy", "y > 1.5"),
    ],
)
def test_labels_of_another_form(of: Compiled, units: int, data: Labels, title: str, advice: str) -> None:
    found = finding(seen(dense(units), scores=scores(units), compiled=of, training_data=images(data)), "label-form")
    assert title in found.title
    assert advice in found.advice


@pytest.mark.parametrize(
    ("of", "units", "data"),
    [
        (compiled(), 10, TEN_CLASSES),
        (dataclasses.replace(compiled(), ignore_class=-1), 10, labels(low=-1, high=8)),
        (compiled("categorical"), 10, ONE_HOT),
        (compiled("distance"), 10, ONE_HOT),
        (compiled("hinge"), 1, labels(50, 50, low=-1)),
        (compiled("binary"), 1, labels(50, 50)),
        (compiled("binary"), 1, labels(high=0.9, whole=False)),  # smoothed
        (compiled("binary"), 10, dataclasses.replace(ONE_HOT, sums_to_one=False)),  # several labels
    ],
)
def test_labels_that_fit_the_loss(of: Compiled, units: int, data: Labels) -> None:
    evidence = seen(dense(units), scores=scores(units), compiled=of, training_data=images(data))
    assert result(evidence, "label-form").status == "passed"


@pytest.mark.parametrize(
    ("metric", "of", "data", "status"),
    [
        ("binary_accuracy", "categorical", ONE_HOT, "found"),
        ("BinaryAccuracy", "binary", ONE_HOT, "found"),
        ("BinaryAccuracy", "binary", dataclasses.replace(ONE_HOT, sums_to_one=False), "not checked"),  # several labels
        ("categorical_accuracy", "sparse", TEN_CLASSES, "found"),
        ("CategoricalAccuracy", "categorical", ONE_HOT, "not checked"),
        ("accuracy", "sparse", TEN_CLASSES, "not checked"),
        ("AUC", "categorical", ONE_HOT, "not checked"),
    ],
)
def test_a_metric_of_another_form(metric: str, of: str, data: Labels, status: str) -> None:
    evidence = seen(SOFTMAX_LAST, compiled=compiled(of, metrics=("AUC", metric)), training_data=images(data))
    check = result(evidence, "metric-mismatch")
    assert check.status == status
    if status == "found":
        found = finding(evidence, "metric-mismatch")
        assert found.title == f"The metric {metric} counts something else than the accuracy."
        assert "binary" not in metric.lower() or "reaches 90.0 %" in found.evidence


def test_binary_accuracy_of_two_classes_is_the_accuracy() -> None:
    two = seen(
        dense(2, "softmax"),
        scores=scores(2),
        compiled=compiled("categorical", metrics=("binary_accuracy",)),
        training_data=images(labels(50, 50, width=2)),
    )
    assert result(two, "metric-mismatch").status == "not checked"


@pytest.mark.parametrize(
    ("logged", "made_by", "status"),
    [
        ([0.91, 0.90], "callback", "found"),
        ([0.91, 0.52], "callback", "passed"),  # the weights of another epoch
        ([0.61], "callback", "found"),
        ([0.59], "callback", "passed"),
        ([0.90], "train_and_report", "not checked"),  # other images
        ([None], "callback", "not checked"),
    ],
)
def test_the_logged_accuracy_against_the_counted(logged: list[float | None], made_by: str, status: str) -> None:
    training = history([(0.9, each) for each in logged])
    facts = facts_of(balanced(4, 1000, 500), training=training, made_by=made_by)
    assert result(facts, "metric-mismatch").status == status
    if logged[0] == 0.91 and status == "found":
        assert finding(facts, "metric-mismatch").title == (
            "The logged validation accuracy is 90.0 %, but 50.0 % of the images are classified correctly."
        )


def test_a_logged_accuracy_of_other_images_is_not_checked() -> None:
    facts = facts_of(balanced(4, 100, 50), training=history([(0.9, 0.9)]), made_by="callback")
    split = Evidence(facts, inspection=Inspection(training_data=images(split=True)))
    assert result(split, "metric-mismatch").reason == "`fit` validates on other images than those that are evaluated"


def test_a_logged_accuracy_of_few_images_is_not_checked() -> None:
    facts = facts_of(balanced(4, 5, 3), training=history([(0.9, 0.75)]), made_by="callback")
    assert result(facts, "metric-mismatch").reason == "20 images are too few"


def test_a_logged_accuracy_of_weights_before_they_were_averaged_is_not_checked() -> None:
    facts = facts_of(balanced(10, 100, 50), training=history([(0.5, 0.7)]), made_by="callback")
    assert result(facts, "metric-mismatch").status == "found"
    averaging = Evidence(facts, inspection=Inspection(compiled=compiled(averages=True)))
    assert "averages" in (result(averaging, "metric-mismatch").reason or "")
