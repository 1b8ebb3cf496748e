"""Settings of the checks: which are off, how severe they are, their thresholds, and which findings are accepted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lrdiag.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from lrdiag.diagnosis.findings.rules import Rule
    from lrdiag.record.facts import Severity

_KEYS = ("severity", "threshold")


@dataclass(frozen=True)
class CheckSettings:
    """What differs from the table of rules, by the code of the rule.

    Example:
        >>> settings = CheckSettings.of({"weak-class": False, "overfitting": 0.2}, accept={"regression": "new data"})
        >>> sorted(settings.off), settings.thresholds, settings.accepted
        (['weak-class'], {'overfitting': 0.2}, {'regression': 'new data'})

    Attributes:
        off: Rules that are not checked.
        severities: Severity of the finding, for rules that have another one than in the table.
        thresholds: Threshold, for rules that have another one than in the table.
        accepted: Findings that are known and accepted, with the reason.
    """

    off: frozenset[str] = frozenset()
    severities: Mapping[str, Severity] = field(default_factory=dict, hash=False)
    thresholds: Mapping[str, float] = field(default_factory=dict, hash=False)
    accepted: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def of(
        cls, checks: Mapping[str, object] | CheckSettings | None = None, accept: Mapping[str, str] | None = None
    ) -> CheckSettings:
        """Converts plain values.

        Args:
            checks: For each code: `False` turns the check off, `"error"`, `"warning"` or `"note"` sets the severity of
                its finding, a number sets its threshold, and a mapping sets `"severity"` and `"threshold"`.
            accept: For each code, the reason why the finding is accepted.

        Raises:
            SettingsError: If a code is unknown or a value is invalid.
        """
        if isinstance(checks, CheckSettings):
            return checks.overridden(by=cls.of(None, accept))
        off: set[str] = set()
        severities: dict[str, Severity] = {}
        thresholds: dict[str, float] = {}
        for code, value in _entries("checks", checks):
            rule = _rule("checks", code)
            if value is False:
                off.add(code)
                continue
            for key, part in _parts(code, value).items():
                if key == "severity":
                    severities[code] = _severity(code, part)
                else:
                    thresholds[code] = _threshold(rule, part)
        accepted = {code: _reason(code, reason) for code, reason in _entries("accept", accept)}
        return cls(frozenset(off), severities, thresholds, accepted)

    def overridden(self, by: CheckSettings) -> CheckSettings:
        """Joins two settings; `by` has precedence if both set the same."""
        return CheckSettings(
            self.off.difference(by.severities, by.thresholds) | by.off,
            {**self.severities, **by.severities},
            {**self.thresholds, **by.thresholds},
            {**self.accepted, **by.accepted},
        )


AS_IN_THE_TABLE = CheckSettings()
"""The settings that change nothing."""


def _entries(name: str, value: object) -> list[tuple[str, object]]:
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise SettingsError(f"`{name}` must map the codes of findings to settings. Received: {value!r}")
    return list(value.items())


def _rule(name: str, code: object) -> Rule:
    from lrdiag.diagnosis.findings.rules import RULES  # slow to import, and the command line imports this module

    for rule in RULES:
        if rule.code == code:
            return rule
    raise SettingsError(
        f"`{name}` must have codes of findings; docs/findings.md lists them. Received: {code!r}"
        f"{did_you_mean(str(code), [rule.code for rule in RULES])}"
    )


def _parts(code: str, value: object) -> Mapping[str, object]:
    """The severity and the threshold that a plain value sets."""
    match value:
        case True:
            return {}
        case str():
            return {"severity": value}
        case int() | float():
            return {"threshold": value}
        case Mapping() if set(value) <= set(_KEYS):
            return value
    raise SettingsError(
        f"`checks` takes False, a severity, a threshold, or a mapping of {' and '.join(_KEYS)} for each code. "
        f"Received: {code!r}: {value!r}"
    )


def _severity(code: str, value: object) -> Severity:
    from lrdiag.record.facts import SEVERITIES

    for severity in SEVERITIES:
        if severity == value:
            return severity
    raise SettingsError(
        f"The severity of a check must be one of {', '.join(SEVERITIES)}. Received: {code!r}: {value!r}"
        f"{did_you_mean(str(value), SEVERITIES)}"
    )


def _threshold(rule: Rule, value: object) -> float:
    if rule.threshold is None:
        raise SettingsError(f"The check {rule.code} has no threshold that can be set. Received: {value!r}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SettingsError(f"The threshold of a check must be a finite number. Received: {rule.code!r}: {value!r}")
    return float(value)


def _reason(code: str, reason: object) -> str:
    _rule("accept", code)
    if not isinstance(reason, str) or not reason.strip():
        raise SettingsError(
            "`accept` takes the reason why a finding is accepted, as text that is not empty. "
            f"Received: {code!r}: {reason!r}"
        )
    return reason.strip()
