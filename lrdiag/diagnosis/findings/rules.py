"""The table of rules. Only it defines the order, severity and section of each finding.

To add a rule, write a function from `Evidence` to an answer in a module of this room, and add a row here, a test and a
paragraph in docs/findings.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from lrdiag.diagnosis.evidence import Evidence, Need
from lrdiag.diagnosis.findings import classes, comparison, data, model, predictions, training
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.record.facts import SEVERITIES, Check, Diagnosis, Finding, Severity

OLD_RUN = "lrdiag 0.1 did not record its checks"


@dataclass(frozen=True)
class Rule:
    """A check with its place in the report.

    Attributes:
        code: Stable name.
        severity: How severe its finding is.
        section: Key of the section of the page that shows the evidence.
        check: Pure function from the evidence to the answer.
        needs: Evidence that the check cannot do without. The rule is not checked if any is missing.
        unless: Codes of rules that name the cause. The rule is not checked if one of them found a problem, because it
            would only describe the effect. They come earlier in the table.
    """

    code: str
    severity: Severity
    section: str
    check: Callable[[Evidence], Answer]
    needs: tuple[Need, ...] = ()
    unless: tuple[str, ...] = ()


_USELESS = ("not-finite", "collapsed-predictions", "at-chance")

RULES: tuple[Rule, ...] = (
    Rule("training-stopped", "error", "training", training.training_stopped, needs=("training",)),
    Rule("training-interrupted", "warning", "training", training.training_interrupted, needs=("training",)),
    Rule("stand-in-data", "error", "data", data.stand_in_data),
    Rule("predict-mismatch", "error", "misclassified", model.predict_mismatch, needs=("agreement",)),
    Rule("evaluate-mismatch", "error", "misclassified", model.evaluate_mismatch, needs=("agreement",)),
    Rule("loss-mismatch", "error", "training", model.loss_mismatch, needs=("loss",)),
    Rule("not-finite", "error", "confidence", predictions.not_finite),
    Rule("collapsed-predictions", "error", "confusion", predictions.collapsed_predictions, unless=_USELESS[:1]),
    Rule("at-chance", "error", "confusion", predictions.at_chance, unless=_USELESS[:2]),
    Rule("regression", "warning", "comparison", comparison.regression, needs=("comparison",)),
    Rule("class-regression", "warning", "comparison", comparison.class_regression, needs=("comparison",)),
    Rule("skipped-files", "warning", "data", data.skipped_files),
    Rule("narrow-range", "warning", "data", data.narrow_range),
    Rule("no-heatmaps", "warning", "misclassified", model.no_heatmaps),
    Rule("no-suggestion", "warning", "learning-rate", model.no_suggestion, needs=("range_test",)),
    Rule(
        "lagging-statistics", "warning", "training", training.lagging_statistics, needs=("training", "train_sample"),
        unless=_USELESS[:1],
    ),
    Rule("overfitting", "warning", "training", training.overfitting, unless=_USELESS[:1]),
    Rule("weak-class", "warning", "classes", classes.weak_class, unless=_USELESS),
    Rule("over-predicted-class", "warning", "classes", classes.over_predicted_class, unless=_USELESS),
    Rule("ignored-from-logits", "note", "training", model.ignored_from_logits, needs=("loss",)),
    Rule("confused-pair", "note", "confusion", classes.confused_pair, unless=_USELESS),
)  # fmt: skip


def check_all(evidence: Evidence, rules: Sequence[Rule] = RULES) -> Diagnosis:
    """Applies every rule.

    Args:
        evidence: Everything that is known about the run.
        rules: The rules, causes before effects.

    Returns:
        The facts with the findings, most severe first, and with the result of every rule.
    """
    answers: dict[str, Answer] = {}
    for rule in rules:
        found = [code for code, answer in answers.items() if isinstance(answer, Found)]
        answers[rule.code] = _answer(rule, evidence, found)
    return _recorded(evidence.facts, rules, answers)


def check_again(evidence: Evidence, need: Need, rules: Sequence[Rule] = RULES) -> Diagnosis:
    """Applies the rules that need a new piece of evidence, and keeps the results of all others.

    Args:
        evidence: The facts, with the earlier findings and checks and with the new evidence.
        need: The new evidence.
        rules: The rules, causes before effects.
    """
    facts = evidence.facts
    found = [finding.code for finding in facts.findings]
    answers = {rule.code: _answer(rule, evidence, found) for rule in rules if need in rule.needs}
    return _recorded(facts, rules, answers)


def recorded_checks(facts: Diagnosis, rules: Sequence[Rule] = RULES) -> list[Check]:
    """The results of the rules. For a run of lrdiag 0.1, only the rules with a finding are known."""
    if facts.checks:
        return facts.checks
    found = {finding.code for finding in facts.findings}
    return [
        Check(rule.code, "found") if rule.code in found else Check(rule.code, "not checked", reason=OLD_RUN)
        for rule in rules
    ]


def cause_of(code: str, facts: Diagnosis, rules: Sequence[Rule] = RULES) -> str | None:
    """The finding that already explains the problem that this rule checks, or `None`."""
    rule = next(rule for rule in rules if rule.code == code)
    return _cause(rule, [finding.code for finding in facts.findings])


def _cause(rule: Rule, found: Collection[str]) -> str | None:
    return next((cause for cause in rule.unless if cause in found), None)


def _answer(rule: Rule, evidence: Evidence, found: Collection[str]) -> Answer:
    cause = _cause(rule, found)
    if cause is not None:
        return NotChecked(f"the finding {cause} explains it")
    for need in rule.needs:
        if evidence.lacks(need):
            return NotChecked(evidence.reason(need))
    return rule.check(evidence)


def _recorded(facts: Diagnosis, rules: Sequence[Rule], answers: dict[str, Answer]) -> Diagnosis:
    order = {rule.code: place for place, rule in enumerate(rules)}
    new = [_finding(rule, answer) for rule in rules if isinstance(answer := answers.get(rule.code), Found)]
    findings = [finding for finding in facts.findings if finding.code not in answers] + new
    findings.sort(key=lambda each: (SEVERITIES.index(each.severity), order.get(each.code, len(order))))
    checks = {check.code: check for check in recorded_checks(facts, rules)}
    checks |= {code: _check(code, answer) for code, answer in answers.items()}
    return dataclasses.replace(facts, findings=findings, checks=list(checks.values()))


def _finding(rule: Rule, found: Found) -> Finding:
    return Finding(
        rule.code, rule.severity, found.title, found.evidence, found.advice, found.value, found.threshold,
        list(found.images), rule.section,
    )  # fmt: skip


def _check(code: str, answer: Answer) -> Check:
    match answer:
        case Found():
            return Check(code, "found", answer.value, answer.threshold)
        case Passed():
            return Check(code, "passed", answer.value, answer.threshold)
        case NotChecked():
            return Check(code, "not checked", answer.value, answer.threshold, answer.reason)
