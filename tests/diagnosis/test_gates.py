"""Gates: which runs pass and fail, and which gates are refused."""

from __future__ import annotations

import dataclasses

import pytest

from lrdiag.diagnosis.gates import (
    Gate,
    check,
    describe,
    overridden,
    read_gates,
    refuse_unknown_classes,
    with_outcomes,
)
from lrdiag.errors import SettingsError
from lrdiag.record.binary_facts import Area, BinaryFacts
from lrdiag.record.facts import (
    Averages,
    Calibration,
    ClassChange,
    ClassFacts,
    Comparison,
    DatasetFacts,
    Diagnosis,
    GateFacts,
    HeatmapFacts,
    Misclassified,
    Score,
    TrainingRun,
)
from lrdiag.report.gates import gates_in_words

CLASSES = ["cat", "dog", "Saint.Bernard", "a=b"]
MEANS = Averages(0.7, 0.7, 0.7)
SCORE = Score(100, 0.78, 0.7, 0.85, 0.6, 0.7, None, MEANS, MEANS)


def compared(difference: float, *recalls: tuple[float | None, float | None]) -> Comparison:
    changes = [ClassChange(index, base, head) for index, (base, head) in enumerate(recalls)]
    return Comparison(
        "fast", None, SCORE, 0.1, difference, -0.1, 0.1, 0.5, "no detectable difference", [], [], changes, []
    )


@pytest.fixture
def diagnosis() -> Diagnosis:
    return Diagnosis(
        dataset=DatasetFacts("toys", "", None, CLASSES, [4, 4, 3], 4, 0, 100, [1] * 4, [25] * 4, "0f"),
        model="fast",
        parameters=1,
        range_test=None,
        range_test_note=None,
        training=TrainingRun([], [], [], 1, 1, "SGD", "constant", None, 1.0),
        test=SCORE,
        calibration=Calibration(0.1, []),
        per_class=[
            ClassFacts("cat", 0.9, 0.6, 0.72, 25),
            ClassFacts("dog", None, 0.0, 0.0, 25),
            ClassFacts("Saint.Bernard", 0.5, None, None, 0),
            ClassFacts("a=b", 1.0, 1.0, 1.0, 25),
        ],
        confusion=[],
        confused_pairs=[],
        misclassified=Misclassified(0, []),
        heatmaps=HeatmapFacts("Grad-CAM", None, 0),
        findings=[],
        device="CPU",
        command="",
        git_commit=None,
        settings={},
        versions={},
        value_range=(0.0, 255.0),
    )


@pytest.mark.parametrize(
    ("text", "name", "limit"),
    [
        ("accuracy=0.78", "accuracy", 0.78),
        ("recall.cat=.6", "recall.cat", 0.6),
        ("precision.Saint.Bernard=1", "precision.Saint.Bernard", 1.0),
        ("f1.a=b=0", "f1.a=b", 0.0),
        ("0.78", "accuracy", 0.78),
        ("78%", "accuracy", 0.78),
        ("78 %", "accuracy", 0.78),
        ("1", "accuracy", 1.0),
        ("0.5%", "accuracy", 0.005),
        ("Accuracy = 78%", "accuracy", 0.78),
        ("Recall.Cat=60%", "recall.Cat", 0.6),
    ],
)
def test_a_gate_is_parsed(text: str, name: str, limit: float) -> None:
    assert Gate.parse("fail-under", text) == Gate("fail-under", name, limit)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("acuracy=0.78", "takes accuracy, balanced-accuracy, auc, recall.<class>, precision.<class>, f1.<class>. "
         "Received: 'acuracy'. Did you mean 'accuracy'?"),
        ("recal.cat=0.6", "Did you mean 'recall'?"),
        ("loss=0.5", "Received: 'loss'"),
        ("accuracy.cat=0.5", "Received: 'accuracy.cat'"),
        ("recall=0.5", "Received: 'recall'"),
        ("recall.=0.5", "Received: 'recall.'"),
        ("=0.5", "Received: ''"),
        ("accuracy", "takes a share of the accuracy, such as 0.78 or 78%, or NAME=SHARE, such as recall.cat=0.6. "
         "Received: 'accuracy'"),
        ("accuracy=high", "Received: 'accuracy=high'"),
        ("accuracy=78", "a share between 0 and 1, or a percentage: accuracy=0.78, or accuracy=78%. "
         "Received: accuracy=78. Did you mean 78%?"),
        ("78", "Received: accuracy=78. Did you mean 78%?"),
        ("101%", "Received: accuracy=1.01"),
        ("0,78", "Received: '0,78'"),
        ("%", "Received: '%'"),
        ("nan", "Received: accuracy=nan"),
        ("accuracy=-0.1", "Received: accuracy=-0.1"),
        ("accuracy=nan", "Received: accuracy=nan"),
        ("", "Received: ''"),
    ],
)  # fmt: skip
def test_an_invalid_gate_is_refused(text: str, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        Gate.parse("fail-under", text)
    assert str(error.value).startswith("`fail-under` takes ")
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["precision.cat", "f1.cat"])
def test_only_accuracy_and_recall_can_get_worse(name: str) -> None:
    assert Gate("fail-under", name, 0.5).limit == 0.5
    with pytest.raises(SettingsError, match=r"takes accuracy, balanced-accuracy, recall.<class>\. Received"):
        Gate("fail-if-worse", name, 0.5)


@pytest.mark.parametrize(
    ("name", "limit", "passed", "text"),
    [
        ("accuracy", 0.78, True, "passed accuracy: expected at least 0.78, actual 0.78"),
        ("accuracy", 0.7801, False, "FAILED accuracy: expected at least 0.7801, actual 0.78"),
        ("balanced-accuracy", 0.7, True, "passed balanced-accuracy: expected at least 0.7, actual 0.7"),
        ("balanced_accuracy", 0.71, False, "FAILED balanced-accuracy: expected at least 0.71, actual 0.7"),
        ("recall.cat", 0.6, True, "passed recall.cat: expected at least 0.6, actual 0.6"),
        ("recall.cat", 0.61, False, "FAILED recall.cat: expected at least 0.61, actual 0.6"),
        ("precision.cat", 0.91, False, "FAILED precision.cat: expected at least 0.91, actual 0.9"),
        ("f1.cat", 0.73, False, "FAILED f1.cat: expected at least 0.73, actual 0.72"),
        ("precision.dog", 0.0, False, "FAILED precision.dog: expected at least 0, actual not defined"),
        ("recall.Saint.Bernard", 0.0, False, "FAILED recall.Saint.Bernard: expected at least 0, actual not defined"),
        ("recall.a=b", 1.0, True, "passed recall.a=b: expected at least 1, actual 1"),
    ],
)
def test_a_figure_must_reach_its_limit(diagnosis: Diagnosis, name: str, limit: float, passed: bool, text: str) -> None:
    (outcome,) = check([Gate("fail-under", name, limit)], diagnosis)
    assert (outcome.passed, str(outcome)) == (passed, text)


def binary(diagnosis: Diagnosis, facts: BinaryFacts) -> Diagnosis:
    data = dataclasses.replace(diagnosis.dataset, classes=["cat", "dog"])
    return dataclasses.replace(diagnosis, dataset=data, binary=facts)


@pytest.mark.parametrize(("limit", "passed"), [(0.9, True), (0.91, False)])
def test_the_auc_must_reach_its_limit(diagnosis: Diagnosis, limit: float, passed: bool) -> None:
    checked = binary(diagnosis, BinaryFacts(1, auc=Area(0.9, 0.8, 0.95)))
    (outcome,) = check([Gate("fail-under", "auc", limit)], checked)
    assert (outcome.passed, outcome.actual) == (passed, 0.9)
    (words,) = gates_in_words(with_outcomes(checked, [outcome]))
    assert words.title == f"AUC: 90.0\u00a0%, required: at least {100 * limit:.1f}\u00a0%"
    assert "95\u00a0% interval 80.0 to 95.0" in words.meaning


def test_an_auc_that_was_not_computed_fails(diagnosis: Diagnosis) -> None:
    (outcome,) = check([Gate("fail-under", "auc", 0.1)], binary(diagnosis, BinaryFacts(1, "no image of cat")))
    assert (outcome.passed, outcome.actual) == (False, None)


def test_the_auc_needs_two_classes(diagnosis: Diagnosis) -> None:
    with pytest.raises(SettingsError, match=r"needs data of two classes.*Received: 4 classes"):
        check([Gate("fail-under", "auc", 0.9)], diagnosis)


def test_balanced_accuracy_in_words(diagnosis: Diagnosis) -> None:
    outcomes = check([Gate("fail-under", "balanced-accuracy", 0.9)], diagnosis)
    (words,) = gates_in_words(with_outcomes(diagnosis, outcomes))
    assert words.title == "Balanced accuracy: 70.0\u00a0%, required: at least 90.0\u00a0%"
    assert words.meaning == "Balanced accuracy is the mean recall of the classes."


RECALLS = (0.7, 0.6), (0.2, 0.5), (None, None), (1.0, 1.0)


@pytest.mark.parametrize(
    ("name", "limit", "passed", "text"),
    [
        # 0.77 - 0.78 is -0.010000000000000009
        ("accuracy", 0.01, True, "passed accuracy: expected worse by at most 0.01, actual worse by 0.01"),
        ("accuracy", 0.009, False, "FAILED accuracy: expected worse by at most 0.009, actual worse by 0.01"),
        ("balanced-accuracy", 0.0, True, "passed balanced-accuracy: expected worse by at most 0, actual unchanged"),
        ("recall.cat", 0.1, True, "passed recall.cat: expected worse by at most 0.1, actual worse by 0.1"),
        ("recall.cat", 0.05, False, "FAILED recall.cat: expected worse by at most 0.05, actual worse by 0.1"),
        ("recall.dog", 0.0, True, "passed recall.dog: expected worse by at most 0, actual better by 0.3"),
        ("recall.a=b", 0.0, True, "passed recall.a=b: expected worse by at most 0, actual unchanged"),
        ("recall.Saint.Bernard", 1.0, False,
         "FAILED recall.Saint.Bernard: expected worse by at most 1, actual not defined"),
    ],
)  # fmt: skip
def test_a_figure_may_get_worse_by_the_limit(
    diagnosis: Diagnosis, name: str, limit: float, passed: bool, text: str
) -> None:
    beside = dataclasses.replace(diagnosis, comparison=compared(0.77 - 0.78, *RECALLS))
    (outcome,) = check([Gate("fail-if-worse", name, limit)], beside)
    assert (outcome.passed, str(outcome)) == (passed, text)


def test_failed_gates_come_first(diagnosis: Diagnosis) -> None:
    gates = [Gate("fail-under", name, 0.7) for name in ("accuracy", "recall.cat", "precision.cat", "recall.dog")]
    outcomes = check(gates, diagnosis)
    assert [each.gate.name for each in outcomes] == ["recall.cat", "recall.dog", "accuracy", "precision.cat"]


def test_outcomes_are_facts_of_the_run(diagnosis: Diagnosis) -> None:
    outcomes = check([Gate("fail-under", "accuracy", 0.7), Gate("fail-under", "recall.cat", 0.7)], diagnosis)
    recorded = with_outcomes(diagnosis, outcomes)
    assert recorded.gates == [
        GateFacts("fail-under", "recall.cat", 0.7, 0.6, False),
        GateFacts("fail-under", "accuracy", 0.7, 0.78, True),
    ]
    assert describe(recorded.gates[0]) == "recall.cat: expected at least 0.7, actual 0.6"
    assert with_outcomes(recorded, []).gates == []
    assert dataclasses.replace(recorded, gates=[]) == diagnosis


def test_without_a_baseline_gates_on_the_change_are_left_out(diagnosis: Diagnosis) -> None:
    assert check([Gate("fail-if-worse", "accuracy", 0.0)], diagnosis) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("recall.cta", "Did you mean 'recall.cat'?"), ("f1.Saint", "'f1.Saint'"), ("precision.CAT", "'precision.CAT'")],
)
def test_an_unknown_class_is_refused(diagnosis: Diagnosis, name: str, words: str) -> None:
    gate = Gate("fail-under", name, 0.5)
    for refuse in (lambda: refuse_unknown_classes([gate], CLASSES), lambda: check([gate], diagnosis)):
        with pytest.raises(SettingsError, match="must name a class of the data") as error:
            refuse()
        assert words in str(error.value)


def test_gates_are_read_from_a_table() -> None:
    limits = {"accuracy": 0.78, "recall.cat": 0.6, "precision": {"dog": 1, "Saint": {"Bernard": 0}}}
    assert read_gates("fail-under", limits) == (
        Gate("fail-under", "accuracy", 0.78),
        Gate("fail-under", "recall.cat", 0.6),
        Gate("fail-under", "precision.dog", 1.0),
        Gate("fail-under", "precision.Saint.Bernard", 0.0),
    )
    assert read_gates("fail-if-worse", {"accuracy": 0.01}) == (Gate("fail-if-worse", "accuracy", 0.01),)
    assert read_gates("fail-under", {}) == ()
    assert read_gates("fail-under", {"accuracy": "78%"}) == (Gate("fail-under", "accuracy", 0.78),)


@pytest.mark.parametrize("limits", [0.78, "0.78", "78%", "accuracy=0.78", ["78%"]])
def test_a_share_alone_is_one_of_the_accuracy(limits: object) -> None:
    assert read_gates("fail-under", limits) == (Gate("fail-under", "accuracy", 0.78),)


def test_a_list_has_several_gates() -> None:
    assert [gate.name for gate in read_gates("fail-under", [0.5, "recall.cat=0.6"])] == ["accuracy", "recall.cat"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (True, "Received: True"),
        (None, "Received: None"),
        ("high", "Received: 'high'"),
        (78, "Received: accuracy=78. Did you mean 78%?"),
        ({"accuracy": True}, "Received: {'accuracy': True}"),
        ({"accuracy": 78}, "between 0 and 1"),
        ({"acuracy": 0.78}, "Did you mean 'accuracy'?"),
        ({"recall": {"cat": "x"}}, "Received: {'recall.cat': 'x'}"),
    ],
)
def test_an_invalid_table_is_refused(limits: object, words: str) -> None:
    with pytest.raises(SettingsError, match=r"^`fail-under` takes ") as error:
        read_gates("fail-under", limits)
    assert words in str(error.value)


def test_the_command_line_overrides_single_gates() -> None:
    file = [Gate("fail-under", "accuracy", 0.78), Gate("fail-under", "recall.cat", 0.6)]
    line = [Gate("fail-under", "accuracy", 0.5), Gate("fail-if-worse", "accuracy", 0.01)]
    assert set(overridden(file, by=line)) == {*line, file[1]}
