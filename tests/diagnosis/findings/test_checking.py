"""How the rules are applied, and how problems are put under those that explain them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
import pytest
from fixtures.diagnoses import balanced, facts_of, history, sample

from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.diagnosis.evidence import MISSING, Evidence, ModelLoss, Need, given
from lrdiag.diagnosis.findings.answers import MOST_EXHIBITS, Answer, Found, NotChecked, Passed, Shown
from lrdiag.diagnosis.findings.checking import (
    OLD_RUN,
    TURNED_OFF,
    cause_of,
    check_again,
    check_all,
    every_finding,
    recorded_checks,
    with_settings,
)
from lrdiag.diagnosis.findings.rules import RULES, Rule
from lrdiag.record.data_facts import Copies, DataFacts, Exhibit, ImageRef, SharedGroups
from lrdiag.record.documents import to_json
from lrdiag.record.facts import Check, Diagnosis, Epoch, Finding, Severity
from lrdiag.record.observed import Inspection

SOUND = balanced(4, 50, 47)


def found(evidence: Evidence) -> Answer:
    return Found("A title.", "The evidence.", "The advice.", 0.5, 0.25, (3, 1), why="The reason.")


def found_as(severity: Severity) -> Callable[[Evidence], Answer]:
    return lambda _: Found("A title.", "", "", why="The reason.", severity=severity)


def above(evidence: Evidence, threshold: float) -> Answer:
    if threshold < 0.5:
        return Found("A title.", "", "", 0.5, threshold, why="The reason.")
    return Passed(0.5, threshold)


def passed(evidence: Evidence) -> Answer:
    return Passed(0.125, 0.25)


def unchecked(evidence: Evidence) -> Answer:
    return NotChecked("3 images are too few", 0.5, 0.25)


def fails(evidence: Evidence) -> Answer:
    raise AssertionError("This rule must not be asked.")


def rule(code: str, severity: Severity = "warning", *explained_by: str) -> Rule:
    """A rule that finds a problem."""
    return Rule(code, severity, "data", found, explained_by=explained_by)


def shape(facts: Diagnosis) -> list[tuple[str, Severity, list[str]]]:
    """Code and severity of each finding, with the codes of its effects."""
    return [(each.code, each.severity, [effect.code for effect in each.effects]) for each in facts.findings]


def checked(*rules: Rule, **settings: object) -> Diagnosis:
    return check_all(Evidence(facts_of(SOUND)), rules, settings=CheckSettings(**settings))


def test_a_sound_run_has_no_findings_and_a_result_for_every_rule() -> None:
    facts = check_all(Evidence(facts_of(SOUND)))
    assert facts.findings == []
    assert [check.code for check in facts.checks] == [rule.code for rule in RULES]
    evidence = Evidence(facts_of(SOUND))
    missing = {rule.code: [MISSING[need] for need in rule.needs if evidence.lacks(need)] for rule in RULES}
    unchecked = {check.code: check.reason for check in facts.checks if check.status == "not checked"}
    assert unchecked.items() >= {code: reasons[0] for code, reasons in missing.items() if reasons}.items()
    assert all(unchecked.values())


def test_answers_become_findings_and_checks() -> None:
    rules = [
        Rule("a", "note", "data", found),
        Rule("b", "note", "data", passed),
        Rule("c", "note", "data", unchecked),
    ]
    facts = check_all(Evidence(facts_of(SOUND)), rules, known={"a": "during training"})
    assert facts.findings == [
        Finding(
            "a", "note", "A title.", "The evidence.", "The advice.", 0.5, 0.25, [3, 1], "data", "The reason.",
            "during training",
        )
    ]  # fmt: skip
    assert facts.checks == [
        Check("a", "found", 0.5, 0.25),
        Check("b", "passed", 0.125, 0.25),
        Check("c", "not checked", 0.5, 0.25, "3 images are too few"),
    ]


def test_exhibits_get_the_cells_of_their_pictures() -> None:
    image, pictures = ImageRef("test", 7, "7.png"), (np.zeros((2, 3, 1), np.uint8), np.ones((4, 4, 3), np.uint8))
    shown = [Shown(image, "a copy", pictures), Shown(None, "the mean")] + [Shown(image, "another")] * MOST_EXHIBITS
    showing = Rule("a", "note", "data", lambda _: Found("A title.", "", "", why="The reason.", exhibits=shown))
    kept: list[np.ndarray] = []

    def keep(given: Sequence[np.ndarray]) -> list[int]:
        kept.extend(given)
        return [len(kept) - len(given) + place for place in range(len(given))]

    (finding,) = check_all(Evidence(facts_of(SOUND)), [showing], keep=keep).findings
    assert finding.exhibits[:2] == [Exhibit(image, "a copy", [0, 1]), Exhibit(None, "the mean", [])]
    assert len(finding.exhibits) == MOST_EXHIBITS
    assert kept == list(pictures)
    (finding,) = check_all(Evidence(facts_of(SOUND)), [showing]).findings
    assert finding.exhibits[0] == Exhibit(image, "a copy", [])


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 1), "B")],
)
def test_what_is_no_picture_is_a_defect_of_the_rule(picture: np.ndarray) -> None:
    showing = Rule("a", "note", "data", lambda _: Found("A.", "", "", why="", exhibits=[Shown(None, "", (picture,))]))
    (check,) = check_all(Evidence(facts_of(SOUND)), [showing]).checks
    assert check.status == "not checked"
    assert "A picture must be a uint8 array of shape (height, width, 1 or 3). Received: " in (check.reason or "")


def test_findings_are_most_severe_first_then_in_the_order_of_the_table() -> None:
    severities = ("note", "warning", "error", "warning", "error")
    rules = [Rule(f"{place}", severity, "data", found) for place, severity in enumerate(severities)]
    assert [each.code for each in checked(*rules).findings] == ["2", "4", "1", "3", "0"]


def test_the_moment_is_that_of_the_first_check_that_found_the_problem() -> None:
    facts = check_all(Evidence(facts_of(SOUND)), [rule("a"), rule("b")], known={"b": "before training"})
    assert [each.known for each in facts.findings] == ["after training", "before training"]
    (early,) = check_all(Evidence(facts_of(SOUND)), [rule("a")], now="before training").findings
    assert early.known == "before training"


def test_an_answer_may_have_a_severity_of_its_own() -> None:
    facts = checked(Rule("a", "error", "data", found_as("warning")), rule("b"))
    assert [each.severity for each in facts.findings] == ["warning", "warning"]
    assert shape(checked(Rule("a", "error", "data", found_as("note")), severities={"a": "warning"})) == [
        ("a", "warning", [])
    ]


def test_a_rule_is_not_checked_if_its_evidence_is_missing() -> None:
    rule = Rule("a", "note", "data", fails, needs=("training", "train_sample"))
    (check,) = checked(rule).checks
    assert (check.status, check.reason) == ("not checked", "the training images were not evaluated")


@pytest.mark.parametrize("need", get_args(Need))
def test_every_piece_of_evidence_can_be_missing_and_given(need: str) -> None:
    facts = facts_of(SOUND, training=None, range_test=None)
    assert Evidence(None if need == "evaluation" else facts).lacks(need)
    assert Evidence().reason(need) == MISSING[need]
    studied = DataFacts(**{field.name: "given" for field in dataclasses.fields(DataFacts)})
    groups = SharedGroups([], 0, 0, 0, 0, [])
    studied = dataclasses.replace(studied, copies=Copies([], 0, 0, 0, 0, shared_groups=groups))
    full = facts_of(SOUND, train_sample=sample(1, 2), comparison="a comparison", data=studied)
    names = ("predictions", "heatmaps", "mistakes", "loss", "agreement", "test_images", "training_images")
    other = dict.fromkeys(names, "given")
    observed = Inspection(**{field.name: "given" for field in dataclasses.fields(Inspection)})
    assert not Evidence(full, **other, inspection=observed).lacks(need)


def test_a_rule_that_uses_evidence_without_naming_it_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="must name the evidence"):
        given(None)


class TestEffects:
    def test_a_problem_is_an_effect_of_the_root_of_its_causes(self) -> None:
        facts = checked(rule("cause"), rule("symptom", "warning", "cause"), rule("effect", "note", "symptom", "other"))
        assert shape(facts) == [("cause", "warning", ["symptom", "effect"])]
        assert facts.findings[0].effects[1].title == "A title."
        assert facts.checks == [
            Check("cause", "found", 0.5, 0.25),
            Check("symptom", "explained", 0.5, 0.25, "the finding cause explains it"),
            Check("effect", "explained", 0.5, 0.25, "the finding cause explains it"),
        ]
        assert cause_of("effect", facts, [rule("effect", "note", "other", "symptom")]) == "symptom"
        assert cause_of("effect", facts, [rule("effect", "note", "other")]) is None

    def test_the_first_of_several_causes_in_the_table_explains_it(self) -> None:
        facts = checked(rule("first"), rule("second"), rule("effect", "warning", "second", "first"))
        assert shape(facts) == [("first", "warning", ["effect"]), ("second", "warning", [])]

    def test_neither_a_note_nor_a_check_that_passed_is_a_cause(self) -> None:
        causes = rule("note", "note"), Rule("passed", "error", "data", passed)
        assert shape(checked(*causes, rule("effect", "warning", "note", "passed"))) == [
            ("effect", "warning", []),
            ("note", "note", []),
        ]

    def test_a_cause_is_as_severe_as_its_effects(self) -> None:
        facts = checked(rule("other"), rule("cause"), rule("effect", "error", "cause"))
        assert shape(facts) == [("cause", "error", ["effect"]), ("other", "warning", [])]

    def test_an_effect_does_not_need_its_cause(self) -> None:
        assert shape(checked(rule("effect", "warning", "cause"))) == [("effect", "warning", [])]


class TestSettings:
    def test_a_check_that_is_off_is_not_made_and_explains_nothing(self) -> None:
        off = Rule("cause", "error", "data", fails, needs=("train_sample",))
        facts = checked(off, rule("effect", "warning", "cause"), off=frozenset({"cause"}))
        assert shape(facts) == [("effect", "warning", [])]
        assert facts.checks[0] == Check("cause", "not checked", reason=TURNED_OFF)

    @pytest.mark.parametrize(("thresholds", "status"), [({}, "found"), ({"a": 0.6}, "passed"), ({"a": 0.0}, "found")])
    def test_a_rule_receives_the_threshold_of_the_settings_or_of_the_table(
        self, thresholds: dict[str, float], status: str
    ) -> None:
        (check,) = checked(Rule("a", "note", "data", above, threshold=0.25), thresholds=thresholds).checks
        assert (check.status, check.threshold) == (status, thresholds.get("a", 0.25))

    def test_an_accepted_finding_keeps_its_severity_and_is_not_outstanding(self) -> None:
        rules = rule("a", "error"), rule("b", "warning", "a")
        facts = checked(*rules, accepted={"a": "it is known"})
        assert shape(facts) == [("a", "error", ["b"])]
        assert facts.findings[0].accepted == "it is known"
        assert facts.outstanding == []
        assert checked(*rules).outstanding == checked(*rules).findings

    def test_to_accept_a_cause_accepts_no_error(self) -> None:
        rules = rule("a"), rule("b", "warning", "a"), rule("c", "error", "b")
        facts = checked(*rules, accepted={"a": "it is known"})
        assert shape(facts) == [("c", "error", []), ("a", "warning", ["b"])]
        assert [each.code for each in facts.outstanding] == ["c"]

    def test_settings_can_be_applied_to_recorded_findings(self) -> None:
        rules = rule("a"), rule("b", "error", "a"), rule("c")
        before = checked(*rules)
        assert with_settings(before, CheckSettings(), rules) == before
        accepted = with_settings(before, CheckSettings(accepted={"a": "it is known"}), rules)
        assert [each.code for each in accepted.outstanding] == ["b", "c"]
        assert accepted.checks == checked(*rules, accepted={"a": "it is known"}).checks
        after = with_settings(before, CheckSettings(frozenset({"a"}), {"c": "note"}), rules)
        assert shape(after) == [("b", "error", []), ("c", "note", [])]
        assert after.checks == [
            Check("a", "not checked", reason=TURNED_OFF),
            Check("b", "found", 0.5, 0.25),
            Check("c", "found", 0.5, 0.25),
        ]


def test_new_evidence_changes_only_the_rules_that_need_it() -> None:
    rules = [
        Rule("old", "warning", "data", found),
        Rule("new", "warning", "data", passed, needs=("train_sample",), explained_by=("old",)),
        Rule("other", "note", "data", passed),
    ]
    before = check_all(Evidence(facts_of(SOUND)), rules)
    sampled = dataclasses.replace(before, train_sample=sample(1, 2))
    rules[0] = dataclasses.replace(rules[0], check=fails)
    rules[1] = dataclasses.replace(rules[1], check=found)
    after = check_again(Evidence(sampled), "train_sample", rules)
    assert shape(after) == [("old", "warning", ["new"])]
    assert [check.status for check in after.checks] == ["found", "explained", "passed"]
    assert check_again(Evidence(after), "train_sample", rules) == after
    rules[1] = dataclasses.replace(rules[1], check=passed)
    again = check_again(Evidence(after), "train_sample", rules)
    assert shape(again) == [("old", "warning", [])]
    assert [check.status for check in again.checks] == ["found", "passed", "passed"]


def test_a_run_of_version_01_knows_only_the_rules_with_a_finding() -> None:
    old = facts_of(SOUND, findings=[Finding("weak-class", "warning", "a", "b", "c")])
    checks = {check.code: check for check in recorded_checks(old)}
    assert list(checks) == [rule.code for rule in RULES]
    assert checks.pop("weak-class") == Check("weak-class", "found")
    assert {(check.status, check.reason) for check in checks.values()} == {("not checked", OLD_RUN)}


def _not_finite() -> Diagnosis:
    facts = facts_of(balanced(4, 50, 20), train_sample=dataclasses.replace(sample(0, 100), loss=math.nan))
    epoch = Epoch(None, 0.0, None, 0.0, 1.0)
    test = dataclasses.replace(facts.test, loss=None, not_finite=200)
    items = [dataclasses.replace(each, confidence=None, loss=None) for each in facts.misclassified.items]
    misclassified = dataclasses.replace(facts.misclassified, items=items)
    training = dataclasses.replace(history([]), epochs=[epoch, epoch])
    return dataclasses.replace(facts, test=test, misclassified=misclassified, training=training)


def _collapsed(classes: int) -> Diagnosis:
    counts = np.zeros((classes, classes), int)
    counts[:, 0] = 40
    return facts_of(counts, train_sample=sample(40, 40 * classes), training=history([(0.99, 0.1)]))


@pytest.mark.parametrize("facts", [_not_finite(), _collapsed(2), _collapsed(10), facts_of([[1, 0], [0, 0]])])
def test_every_rule_can_be_checked_whatever_the_predictions_are(facts: Diagnosis) -> None:
    checked = check_all(Evidence(facts, loss=ModelLoss(takes_logits=True, returns_probabilities=True)))
    assert to_json(checked)  # no NumPy numbers
    for each in every_finding(checked):
        assert "nan" not in f"{each.title} {each.evidence}".lower().replace("nan or infinite", "")
