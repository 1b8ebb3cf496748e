"""Applies the rules, and puts each problem under the one that explains it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lrdiag.diagnosis.check_settings import AS_IN_THE_TABLE, CheckSettings
from lrdiag.diagnosis.evidence import Evidence, Need
from lrdiag.diagnosis.findings.answers import MOST_EXHIBITS, Answer, Found, NotChecked, Passed
from lrdiag.diagnosis.findings.rules import RULES, Rule
from lrdiag.record.data_facts import Exhibit
from lrdiag.record.facts import SEVERITIES, Check, Diagnosis, Finding, Known, Severity

OLD_RUN = "lrdiag 0.1 did not record its checks"
TURNED_OFF = "turned off"
FAILED = "the check itself failed, which is a defect of lrdiag"
_CAUSES = ("error", "warning")
"""Severities of a finding that can explain others."""
KeepPictures = Callable[[Sequence[np.ndarray]], list[int]]
"""Keeps the pictures of an exhibit, and returns their cells in the sheet `findings`."""


def without_pictures(_pictures: Sequence[np.ndarray]) -> list[int]:
    """Keeps no pictures."""
    return []


def check_all(
    evidence: Evidence,
    rules: Sequence[Rule] = RULES,
    *,
    settings: CheckSettings = AS_IN_THE_TABLE,
    known: Mapping[str, Known] | None = None,
    now: Known = "after training",
    keep: KeepPictures = without_pictures,
) -> Diagnosis:
    """Applies every rule.

    Args:
        evidence: Everything that is known about the run.
        rules: The rules, causes before effects.
        settings: What differs from the table of rules.
        known: When problems were found by earlier checks of the same run, by the code of the rule.
        now: When this check is made, for problems that no earlier check found.
        keep: What keeps the pictures of the exhibits. By default, none are kept.

    Returns:
        The facts with the findings, most severe first, and with the result of every rule.
    """
    answers = {rule.code: _answer(rule, evidence, settings) for rule in rules}
    found = _found(answers, rules, settings, known or {}, now, keep)
    return _recorded(evidence.facts, found, _checks(answers), rules)


@dataclass(frozen=True)
class Checked:
    """The result of rules that were applied before the evaluation.

    Attributes:
        findings: The findings, most severe first, with their effects.
        checks: The result of every rule.
    """

    findings: list[Finding]
    checks: list[Check]

    @property
    def errors(self) -> list[Finding]:
        """The errors that are not accepted."""
        return self._of("error")

    @property
    def warnings(self) -> list[Finding]:
        """The warnings that are not accepted."""
        return self._of("warning")

    def _of(self, severity: Severity) -> list[Finding]:
        return [each for each in self.findings if each.severity == severity and each.accepted is None]

    def __repr__(self) -> str:
        found = ", ".join(f"{each.severity} {each.code}" for each in self.findings)
        return f"Checked(findings=[{found}], checks={len(self.checks)})"

    def __str__(self) -> str:
        if not self.findings:
            return "No findings."
        return "\n".join(f"{each.severity} ({each.code}): {each.title} {each.advice}" for each in self.findings)


def check_early(
    evidence: Evidence,
    now: Known,
    rules: Sequence[Rule] = RULES,
    *,
    settings: CheckSettings = AS_IN_THE_TABLE,
    known: Mapping[str, Known] | None = None,
) -> Checked:
    """Applies the rules for which there is evidence before the model is evaluated.

    Args:
        evidence: What is known of the run so far.
        now: When this check is made.
        rules: The rules, causes before effects.
        settings: What differs from the table of rules.
        known: When problems were found by earlier checks of the same run, by the code of the rule.
    """
    answers = {rule.code: _answer(rule, evidence, settings) for rule in rules}
    findings = _under_causes(_found(answers, rules, settings, known or {}, now), rules)
    return Checked(findings, list((_checks(answers) | _of_findings(findings)).values()))


def check_again(
    evidence: Evidence, need: Need, rules: Sequence[Rule] = RULES, *, settings: CheckSettings = AS_IN_THE_TABLE
) -> Diagnosis:
    """Applies the rules that need a new piece of evidence, and keeps the results of all others.

    Args:
        evidence: The facts, with the earlier findings and checks and with the new evidence.
        need: The new evidence.
        rules: The rules, causes before effects.
        settings: What differs from the table of rules.
    """
    facts = evidence.facts
    answers = {rule.code: _answer(rule, evidence, settings) for rule in rules if need in rule.needs}
    kept = [finding for finding in every_finding(facts) if finding.code not in answers]
    found = _found(answers, rules, settings, {}, "after training")
    return _recorded(facts, [*kept, *found], _earlier_checks(facts, rules) | _checks(answers), rules)


def with_settings(facts: Diagnosis, settings: CheckSettings, rules: Sequence[Rule] = RULES) -> Diagnosis:
    """Applies settings to the recorded findings: which checks are off, severities, and accepted findings.

    Thresholds are not applied, because the evidence is not recorded.
    """
    if settings == AS_IN_THE_TABLE:
        return facts
    found = [
        dataclasses.replace(
            finding,
            severity=settings.severities.get(finding.code, finding.severity),
            accepted=settings.accepted.get(finding.code, finding.accepted),
        )
        for finding in every_finding(facts)
        if finding.code not in settings.off
    ]
    off = {code: Check(code, "not checked", reason=TURNED_OFF) for code in settings.off}
    return _recorded(facts, found, _earlier_checks(facts, rules) | off, rules)


def every_finding(facts: Diagnosis) -> list[Finding]:
    """The findings and their effects, each as a finding of its own."""
    return [each for finding in facts.findings for each in (dataclasses.replace(finding, effects=[]), *finding.effects)]


def recorded_checks(facts: Diagnosis, rules: Sequence[Rule] = RULES) -> list[Check]:
    """The results of the rules. For a run of lrdiag 0.1, only the rules with a finding are known."""
    return list(_earlier_checks(facts, rules).values())


def cause_of(code: str, facts: Diagnosis, rules: Sequence[Rule] = RULES) -> str | None:
    """The problem that was found and explains the one that this rule checks, or `None`."""
    rule = next(rule for rule in rules if rule.code == code)
    found = {finding.code for finding in every_finding(facts)}
    return next((cause for cause in rule.explained_by if cause in found), None)


def _answer(rule: Rule, evidence: Evidence, settings: CheckSettings) -> Answer:
    if rule.code in settings.off:
        return NotChecked(TURNED_OFF)
    for need in rule.needs:
        if evidence.lacks(need):
            return NotChecked(evidence.reason(need))
    threshold = settings.thresholds.get(rule.code, rule.threshold)
    try:
        return rule.check(evidence) if threshold is None else rule.check(evidence, threshold)
    except Exception as error:  # a defect of one rule must not end a training run
        return NotChecked(f"{FAILED} ({type(error).__name__}: {error})")


def _found(
    answers: Mapping[str, Answer],
    rules: Sequence[Rule],
    settings: CheckSettings,
    known: Mapping[str, Known],
    now: Known,
    keep: KeepPictures = without_pictures,
) -> list[Finding]:
    """A finding for each answer that found a problem, without effects."""
    return [
        Finding(
            rule.code,
            settings.severities.get(rule.code, answer.severity or rule.severity),
            answer.title,
            answer.evidence,
            answer.advice,
            answer.value,
            answer.threshold,
            list(answer.images),
            rule.section,
            answer.why,
            known.get(rule.code, now),
            accepted=settings.accepted.get(rule.code),
            exhibits=[
                Exhibit(each.image, each.caption, keep(each.pictures)) for each in answer.exhibits[:MOST_EXHIBITS]
            ],
        )
        for rule in rules
        if isinstance(answer := answers.get(rule.code), Found)
    ]


def _checks(answers: Mapping[str, Answer]) -> dict[str, Check]:
    return {code: _check(code, answer) for code, answer in answers.items()}


def _check(code: str, answer: Answer) -> Check:
    match answer:
        case Found():
            return Check(code, "found", answer.value, answer.threshold)
        case Passed():
            return Check(code, "passed", answer.value, answer.threshold)
        case NotChecked():
            return Check(code, "not checked", answer.value, answer.threshold, answer.reason)


def _earlier_checks(facts: Diagnosis, rules: Sequence[Rule]) -> dict[str, Check]:
    if facts.checks:
        return {check.code: check for check in facts.checks}
    found = {finding.code for finding in facts.findings}
    return {
        rule.code: Check(rule.code, "found") if rule.code in found else Check(rule.code, "not checked", reason=OLD_RUN)
        for rule in rules
    }


def _recorded(facts: Diagnosis, found: Iterable[Finding], checks: dict[str, Check], rules: Sequence[Rule]) -> Diagnosis:
    """The facts with these problems, each under the one that explains it, and with these checks."""
    findings = _under_causes(found, rules)
    return dataclasses.replace(facts, findings=findings, checks=list((checks | _of_findings(findings)).values()))


def _of_findings(findings: Iterable[Finding]) -> dict[str, Check]:
    """The checks of the rules that found a problem, by code."""
    checks = {}
    for finding in findings:
        checks[finding.code] = Check(finding.code, "found", finding.value, finding.threshold)
        for effect in finding.effects:
            reason = f"the finding {finding.code} explains it"
            checks[effect.code] = Check(effect.code, "explained", effect.value, effect.threshold, reason)
    return checks


def _under_causes(found: Iterable[Finding], rules: Sequence[Rule]) -> list[Finding]:
    """Puts each problem under the first cause that no other one explains. Most severe first, then as in the table."""
    order = {rule.code: place for place, rule in enumerate(rules)}
    explained_by = {rule.code: rule.explained_by for rule in rules}
    found = sorted(found, key=lambda finding: order.get(finding.code, len(order)))
    roots: dict[str, Finding] = {}
    effects: dict[str, list[Finding]] = {finding.code: [] for finding in found}
    for place, finding in enumerate(found):
        named = [cause for cause in found[:place] if cause.code in explained_by.get(finding.code, ())]
        root = next((roots[cause.code] for cause in named if _explains(cause, roots[cause.code], finding)), finding)
        roots[finding.code] = root
        if root is not finding:
            effects[root.code].append(finding)
    findings = [_with_effects(each, effects[each.code]) for each in found if roots[each.code] is each]
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _explains(cause: Finding, root: Finding, effect: Finding) -> bool:
    """Whether a cause, and the cause that explains it, explain a problem. To accept a cause accepts no error."""
    return cause.severity in _CAUSES and (root.accepted is None or effect.severity != "error")


def _with_effects(finding: Finding, effects: list[Finding]) -> Finding:
    severity = min((each.severity for each in (finding, *effects)), key=SEVERITIES.index)
    return dataclasses.replace(finding, severity=severity, effects=effects)
