"""Gates: limits that a run must meet, from the command line or from an options file.

A gate is a name and a share: `accuracy=0.78`, `recall.cat=60%`. The share is the minimum of the figure, or the most by
which it may be below the baseline. A share alone is one of the accuracy: `0.78`. A gate on findings is the least severe
one that fails: `error` or `warning`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrdiag.errors import SettingsError, did_you_mean
from lrdiag.vocabulary import FAIL_ON, GateRule, canonical

if TYPE_CHECKING:
    from lrdiag.record.facts import Diagnosis, GateFacts

NAMES: dict[GateRule, tuple[str, ...]] = {
    "fail-under": ("accuracy", "balanced-accuracy", "auc", "recall", "precision", "f1"),
    "fail-if-worse": ("accuracy", "balanced-accuracy", "recall"),
    "fail-on": FAIL_ON,
}
ACCURACY = "accuracy"
BALANCED, AUC = "balanced-accuracy", "auc"
_ALONE = (ACCURACY, BALANCED, AUC, *FAIL_ON)
"""Names that no name of a class follows."""
_ROUNDING = 1e-9  # in floating point, 0.79 - 0.78 is more than 0.01


@dataclass(frozen=True)
class Gate:
    """The limit of one figure.

    Example:
        >>> Gate("fail-under", "recall.cat", 0.6)
        Gate(rule='fail-under', name='recall.cat', limit=0.6)

    Attributes:
        rule: `"fail-under"`: the figure must be `limit` or more. `"fail-if-worse"`: it may be worse by `limit`.
            `"fail-on"`: there may be `limit` findings.
        name: `accuracy`, `balanced-accuracy`, `auc`, or `recall.`, `precision.` or `f1.` with the name of a class. For
            `"fail-on"`, `error` or `warning`: the least severity of the findings that count.
        limit: A share between 0 and 1; 0 for `"fail-on"`.

    Raises:
        SettingsError: If the figure does not exist, or the limit is not between 0 and 1.
    """

    rule: GateRule
    name: str
    limit: float

    def __post_init__(self) -> None:
        figure, dot, name = self.name.partition(".")
        known = NAMES[self.rule]
        figure = canonical(figure, known)
        if figure not in known or (figure in _ALONE) == bool(dot) or (dot and not name):
            forms = ", ".join(each if each in _ALONE else f"{each}.<class>" for each in known)
            raise SettingsError(f"`{self.rule}` takes {forms}. Received: {self.name!r}{did_you_mean(figure, known)}")
        object.__setattr__(self, "name", f"{figure}{dot}{name}")
        if not 0 <= self.limit <= 1:
            raise SettingsError(
                f"`{self.rule}` takes a share between 0 and 1, or a percentage: {self.name}=0.78, or {self.name}=78%. "
                f"Received: {self.name}={self.limit:g}{_as_percentage(self.limit)}"
            )

    @classmethod
    def parse(cls, rule: GateRule, text: str) -> Gate:
        """Parses `0.78`, `accuracy=0.78` or `recall.cat=60%`.

        Splits at the last `=`, because the name of a class may contain one.

        Example:
            >>> Gate.parse("fail-under", "78%"), Gate.parse("fail-if-worse", "recall.cat=0.05").name
            (Gate(rule='fail-under', name='accuracy', limit=0.78), 'recall.cat')
        """
        if rule == "fail-on":
            return cls(rule, text, 0.0)
        name, named, limit = text.rpartition("=")
        return cls(rule, name if named else ACCURACY, _share(rule, limit, text))


def _share(rule: GateRule, limit: object, received: object) -> float:
    """Converts a number, or text such as `0.78` and `78%`."""
    if isinstance(limit, int | float) and not isinstance(limit, bool):
        return float(limit)
    if isinstance(limit, str):
        number = limit.strip()
        with suppress(ValueError):
            return float(number.removesuffix("%")) / 100 if number.endswith("%") else float(number)
    raise SettingsError(
        f"`{rule}` takes a share of the accuracy, such as 0.78 or 78%, or NAME=SHARE, such as recall.cat=0.6. "
        f"Received: {received!r}"
    )


def _as_percentage(limit: float) -> str:
    return f". Did you mean {limit:g}%?" if 1 < limit <= 100 else ""


@dataclass(frozen=True)
class Outcome:
    """Whether a run passed one gate; `actual` is `None` if the figure is not defined."""

    gate: Gate
    actual: float | None
    passed: bool

    def __str__(self) -> str:
        state = "passed" if self.passed else "FAILED"
        return f"{state} {_description(self.gate.rule, self.gate.name, self.gate.limit, self.actual)}"


def describe(facts: GateFacts) -> str:
    """Describes a recorded outcome: the figure, what was expected and what was measured."""
    return _description(facts.rule, facts.name, facts.limit, facts.actual)


def _description(rule: GateRule, name: str, limit: float, actual: float | None) -> str:
    if rule == "fail-on":
        return f"findings: expected no {' or '.join(_unwanted(name))}, actual {actual:g}"
    expected = f"{'at least' if rule == 'fail-under' else 'worse by at most'} {limit:g}"
    return f"{name}: expected {expected}, actual {_measured(rule, actual)}"


def _measured(rule: GateRule, actual: float | None) -> str:
    if actual is None:
        return "not defined"
    if rule == "fail-under":
        return f"{actual:.6g}"
    return f"{'worse' if actual > 0 else 'better'} by {abs(actual):.6g}" if actual else "unchanged"


def with_outcomes(diagnosis: Diagnosis, outcomes: Iterable[Outcome]) -> Diagnosis:
    """Returns the facts with these outcomes, in place of earlier ones."""
    from lrdiag.record.facts import GateFacts  # slow to import, and the command line imports this module

    gates = [GateFacts(each.gate.rule, each.gate.name, each.gate.limit, each.actual, each.passed) for each in outcomes]
    return dataclasses.replace(diagnosis, gates=gates)


def refuse_unknown_classes(gates: Iterable[Gate], classes: Iterable[str]) -> None:
    """Raises if a gate names a class that the data does not have, or needs two classes. Call it before training starts.

    Raises:
        SettingsError: With the most similar name.
    """
    known = list(classes)
    for gate in gates:
        figure, _, name = gate.name.partition(".")
        if figure == AUC and len(known) != 2:
            raise SettingsError(
                "A gate on `auc` needs data of two classes. Use another figure, such as balanced-accuracy. Received: "
                f"{len(known)} classes"
            )
        if name and name not in known:
            raise SettingsError(
                f"`{gate.rule}` must name a class of the data. Received: {gate.name!r}"
                f"{did_you_mean(name, known, f'{figure}.')}"
            )


def check(gates: Iterable[Gate], diagnosis: Diagnosis) -> list[Outcome]:
    """Checks a run against its gates; failed ones come first.

    A figure that is not defined fails, such as the precision of a class that is never predicted. Gates on the change
    since the baseline are left out if the run was not compared with one.

    Raises:
        SettingsError: If a gate names a class that the data does not have.
    """
    gates = list(gates)
    refuse_unknown_classes(gates, diagnosis.dataset.classes)
    outcomes = [_check(gate, diagnosis) for gate in gates if gate.rule != "fail-if-worse" or diagnosis.comparison]
    return sorted(outcomes, key=lambda outcome: outcome.passed)


def _check(gate: Gate, diagnosis: Diagnosis) -> Outcome:
    if gate.rule == "fail-on":
        unwanted = _unwanted(gate.name)
        found = sum(finding.severity in unwanted for finding in diagnosis.outstanding)
        return Outcome(gate, float(found), not found)
    if gate.rule == "fail-under":
        actual = _figure(gate.name, diagnosis)
        return Outcome(gate, actual, actual is not None and actual >= gate.limit - _ROUNDING)
    decrease = _decrease(gate.name, diagnosis)
    return Outcome(gate, decrease, decrease is not None and decrease <= gate.limit + _ROUNDING)


def _unwanted(severity: str) -> list[str]:
    """The severities at which a gate on findings fails."""
    return [each for each in FAIL_ON if FAIL_ON.index(each) <= FAIL_ON.index(severity)]


def _figure(name: str, diagnosis: Diagnosis) -> float | None:
    figure, _, wanted = name.partition(".")
    if figure == AUC:
        area = diagnosis.binary.auc if diagnosis.binary else None
        return area.value if area else None
    if not wanted:
        return diagnosis.test.balanced_accuracy if figure == BALANCED else diagnosis.test.accuracy
    facts = diagnosis.per_class[diagnosis.dataset.classes.index(wanted)]
    value: float | None = getattr(facts, figure)
    return value


def _decrease(name: str, diagnosis: Diagnosis) -> float | None:
    """Returns by how much the figure is below the baseline, or `None` if it is not defined. Negative if it is above."""
    comparison = diagnosis.comparison
    if comparison is None:
        return None
    figure, _, wanted = name.partition(".")
    if figure == BALANCED:
        return comparison.base.balanced_accuracy - diagnosis.test.balanced_accuracy
    if not wanted:
        return -comparison.difference
    change = comparison.classes[diagnosis.dataset.classes.index(wanted)]
    return None if change.base is None or change.head is None else change.base - change.head


def read_gates(rule: GateRule, limits: object) -> tuple[Gate, ...]:
    """Converts what an options file or a Python argument gives for one rule.

    Example:
        >>> read_gates("fail-under", {"accuracy": 0.78, "recall": {"cat": 0.6}})[1]
        Gate(rule='fail-under', name='recall.cat', limit=0.6)
        >>> read_gates("fail-under", 0.78)
        (Gate(rule='fail-under', name='accuracy', limit=0.78),)

    Args:
        rule: The rule.
        limits: A share of the accuracy, text that `Gate.parse` reads, a list of these, or a table of name and share.
            TOML reads `recall.cat = 0.6` as a table in a table.

    Raises:
        SettingsError: If `limits` is none of these.
    """
    if rule == "fail-on" and not isinstance(limits, str):
        raise SettingsError(f"`fail-on` takes {' or '.join(FAIL_ON)}. Received: {limits!r}")
    if isinstance(limits, Mapping):
        return tuple(Gate(rule, name, _share(rule, limit, {name: limit})) for name, limit in _flat(limits))
    if isinstance(limits, list):
        return tuple(gate for each in limits for gate in read_gates(rule, each))
    if isinstance(limits, str):
        return (Gate.parse(rule, limits),)
    return (Gate(rule, ACCURACY, _share(rule, limits, limits)),)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields names and values of nested tables: without quotation marks, TOML nests `recall.cat`."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def overridden(gates: Iterable[Gate], by: Iterable[Gate]) -> tuple[Gate, ...]:
    """Joins two sets of gates; `by` has precedence if both have a gate with the same rule and name."""
    return tuple({_overridden_by(gate): gate for gate in [*gates, *by]}.values())


def _overridden_by(gate: Gate) -> tuple[str, str]:
    """What two gates share if the later one has precedence. A run has one gate on findings."""
    return gate.rule, "" if gate.rule == "fail-on" else gate.name
