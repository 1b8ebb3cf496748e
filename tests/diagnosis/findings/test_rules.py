"""The table of rules, and how its rules are applied."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest
from fixtures.diagnoses import balanced, facts_of, sample

from lrdiag.diagnosis.evidence import MISSING, Evidence, Need, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.diagnosis.findings.rules import OLD_RUN, RULES, Rule, cause_of, check_again, check_all, recorded_checks
from lrdiag.record.facts import SEVERITIES, Check, Finding
from lrdiag.report.page import SECTIONS

SOUND = balanced(4, 50, 47)
DOCS = Path(__file__).parents[3] / "docs" / "findings.md"


def found(evidence: Evidence) -> Answer:
    return Found("A title.", "The evidence.", "The advice.", 0.5, 0.25, (3, 1))


def passed(evidence: Evidence) -> Answer:
    return Passed(0.125, 0.25)


def unchecked(evidence: Evidence) -> Answer:
    return NotChecked("3 images are too few", 0.5, 0.25)


def fails(evidence: Evidence) -> Answer:
    raise AssertionError("This rule must not be asked.")


def test_a_sound_run_has_no_findings_and_a_result_for_every_rule() -> None:
    facts = check_all(Evidence(facts_of(SOUND)))
    assert facts.findings == []
    assert [check.code for check in facts.checks] == [rule.code for rule in RULES]
    assert {check.code: check.reason for check in facts.checks if check.status == "not checked"} == {
        "predict-mismatch": MISSING["agreement"],
        "evaluate-mismatch": MISSING["agreement"],
        "loss-mismatch": MISSING["loss"],
        "ignored-from-logits": MISSING["loss"],
        "regression": MISSING["comparison"],
        "class-regression": MISSING["comparison"],
        "lagging-statistics": MISSING["train_sample"],
    }


def test_answers_become_findings_and_checks() -> None:
    rules = [
        Rule("a", "note", "data", found),
        Rule("b", "note", "data", passed),
        Rule("c", "note", "data", unchecked),
    ]
    facts = check_all(Evidence(facts_of(SOUND)), rules)
    assert facts.findings == [
        Finding("a", "note", "A title.", "The evidence.", "The advice.", 0.5, 0.25, [3, 1], "data")
    ]
    assert facts.checks == [
        Check("a", "found", 0.5, 0.25),
        Check("b", "passed", 0.125, 0.25),
        Check("c", "not checked", 0.5, 0.25, "3 images are too few"),
    ]


def test_findings_are_most_severe_first_then_in_the_order_of_the_table() -> None:
    severities = ("note", "warning", "error", "warning", "error")
    rules = [Rule(f"{place}", severity, "data", found) for place, severity in enumerate(severities)]
    assert [each.code for each in check_all(Evidence(facts_of(SOUND)), rules).findings] == ["2", "4", "1", "3", "0"]


def test_a_rule_is_not_checked_if_its_evidence_is_missing() -> None:
    rule = Rule("a", "note", "data", fails, needs=("training", "train_sample"))
    (check,) = check_all(Evidence(facts_of(SOUND)), [rule]).checks
    assert (check.status, check.reason) == ("not checked", "the training images were not evaluated")


@pytest.mark.parametrize("need", get_args(Need))
def test_every_piece_of_evidence_can_be_missing_and_given(need: str) -> None:
    facts = facts_of(SOUND, training=None, range_test=None)
    assert Evidence(facts).lacks(need)
    assert MISSING[need]
    full = facts_of(SOUND, train_sample=sample(1, 2), comparison="a comparison")
    other = {name: "given" for name in ("predictions", "heatmaps", "mistakes", "loss", "agreement")}
    assert not Evidence(full, **other).lacks(need)


def test_a_rule_that_uses_evidence_without_naming_it_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="must name the evidence"):
        given(None)


def test_an_effect_is_silent_if_its_cause_was_found() -> None:
    effect = Rule("effect", "note", "data", fails, unless=("other", "cause"))
    facts = check_all(Evidence(facts_of(SOUND)), [Rule("cause", "note", "data", found), effect])
    assert facts.checks[1] == Check("effect", "not checked", reason="the finding cause explains it")
    assert cause_of("effect", facts, [effect]) == "cause"
    quiet = check_all(Evidence(facts_of(SOUND)), [Rule("cause", "note", "data", passed)])
    assert cause_of("effect", quiet, [effect]) is None


def test_new_evidence_changes_only_the_rules_that_need_it() -> None:
    rules = [
        Rule("old", "note", "data", found),
        Rule("new", "warning", "data", passed, needs=("train_sample",)),
        Rule("other", "note", "data", passed),
    ]
    before = check_all(Evidence(facts_of(SOUND)), rules)
    sampled = dataclasses.replace(before, train_sample=sample(1, 2))
    rules[0] = dataclasses.replace(rules[0], check=fails)
    rules[1] = dataclasses.replace(rules[1], check=found)
    after = check_again(Evidence(sampled), "train_sample", rules)
    assert [each.code for each in after.findings] == ["new", "old"]
    assert [check.status for check in after.checks] == ["found", "found", "passed"]
    rules[1] = dataclasses.replace(rules[1], check=passed)
    again = check_again(Evidence(after), "train_sample", rules)
    assert [each.code for each in again.findings] == ["old"]
    assert [check.status for check in again.checks] == ["found", "passed", "passed"]


def test_a_run_of_version_01_knows_only_the_rules_with_a_finding() -> None:
    old = facts_of(SOUND, findings=[Finding("weak-class", "warning", "a", "b", "c")])
    checks = {check.code: check for check in recorded_checks(old)}
    assert list(checks) == [rule.code for rule in RULES]
    assert checks.pop("weak-class") == Check("weak-class", "found")
    assert {(check.status, check.reason) for check in checks.values()} == {("not checked", OLD_RUN)}


def test_the_table_is_consistent() -> None:
    codes = [rule.code for rule in RULES]
    assert len(set(codes)) == len(codes)
    keys = {section.key for section in SECTIONS}
    for place, rule in enumerate(RULES):
        assert rule.severity in SEVERITIES
        assert rule.section in keys
        assert set(rule.unless) <= set(codes[:place])
        assert rule.check.__doc__


def test_every_rule_has_a_paragraph_in_the_documentation() -> None:
    documented = re.findall(r"^### `(.+)`$", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(documented) == {rule.code for rule in RULES}
