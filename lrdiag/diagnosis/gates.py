"""Gates: limits that a run must meet, from the command line or from an options file.

A gate is a name and a share: `accuracy=0.78`, `recall.cat=0.6`. The share is the minimum of the figure, or the most by
which it may be below the baseline.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrdiag.errors import SettingsError, did_you_mean
from lrdiag.vocabulary import GateRule

if TYPE_CHECKING:
    from lrdiag.record.facts import Diagnosis, GateFacts

FIGURES: dict[GateRule, tuple[str, ...]] = {
    "fail-under": ("accuracy", "recall", "precision", "f1"),
    "fail-if-worse": ("accuracy", "recall"),
}
_ROUNDING = 1e-9  # in floating point, 0.79 - 0.78 is more than 0.01


@dataclass(frozen=True)
class Gate:
    """The limit of one figure.

    Example:
        >>> Gate("fail-under", "recall.cat", 0.6)
        Gate(rule='fail-under', name='recall.cat', limit=0.6)

    Attributes:
        rule: `"fail-under"`: the figure must be `limit` or more. `"fail-if-worse"`: it may be worse by `limit`.
        name: `accuracy`, or `recall.`, `precision.` or `f1.` with the name of a class.
        limit: A share between 0 and 1.

    Raises:
        SettingsError: If the figure does not exist, or the limit is not between 0 and 1.
    """

    rule: GateRule
    name: str
    limit: float

    def __post_init__(self) -> None:
        figure, dot, name = self.name.partition(".")
        known = FIGURES[self.rule]
        if figure not in known or (figure == "accuracy") == bool(dot) or (dot and not name):
            forms = ", ".join("accuracy" if each == "accuracy" else f"{each}.<class>" for each in known)
            raise SettingsError(f"`{self.rule}` takes {forms}. Received: {self.name!r}{did_you_mean(figure, known)}")
        if not 0 <= self.limit <= 1:
            raise SettingsError(
                f"`{self.rule}` takes a share between 0 and 1, such as {self.name}=0.78. "
                f"Received: {self.name}={self.limit:g}"
            )

    @classmethod
    def parse(cls, rule: GateRule, text: str) -> Gate:
        """Parses `accuracy=0.78`. Splits at the last `=`, because the name of a class may contain one."""
        name, _, limit = text.rpartition("=")
        try:
            return cls(rule, name, float(limit))
        except ValueError as error:
            if isinstance(error, SettingsError):
                raise
            raise SettingsError(f"`{rule}` takes NAME=SHARE, such as accuracy=0.78. Received: {text!r}") from error


@dataclass(frozen=True)
class Outcome:
    """Whether a run passed one gate; `actual` is `None` if the figure is not defined."""

    gate: Gate
    actual: float | None
    passed: bool

    def __str__(self) -> str:
        state = "passed" if self.passed else "FAILED"
        return f"{state} {self.gate.name}: {_expectation(self.gate.rule, self.gate.limit, self.actual)}"


def describe(facts: GateFacts) -> str:
    """Describes a recorded outcome: the figure, what was expected and what was measured."""
    return f"{facts.name}: {_expectation(facts.rule, facts.limit, facts.actual)}"


def _expectation(rule: GateRule, limit: float, actual: float | None) -> str:
    expected = f"{'at least' if rule == 'fail-under' else 'worse by at most'} {limit:g}"
    return f"expected {expected}, actual {_measured(rule, actual)}"


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
    """Raises if a gate names a class that the data does not have. Call it before training starts.

    Raises:
        SettingsError: With the most similar name.
    """
    known = list(classes)
    for gate in gates:
        figure, _, name = gate.name.partition(".")
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
    outcomes = [_check(gate, diagnosis) for gate in gates if gate.rule == "fail-under" or diagnosis.comparison]
    return sorted(outcomes, key=lambda outcome: outcome.passed)


def _check(gate: Gate, diagnosis: Diagnosis) -> Outcome:
    if gate.rule == "fail-under":
        actual = _figure(gate.name, diagnosis)
        return Outcome(gate, actual, actual is not None and actual >= gate.limit - _ROUNDING)
    decrease = _decrease(gate.name, diagnosis)
    return Outcome(gate, decrease, decrease is not None and decrease <= gate.limit + _ROUNDING)


def _figure(name: str, diagnosis: Diagnosis) -> float | None:
    figure, _, wanted = name.partition(".")
    if not wanted:
        return diagnosis.test.accuracy
    facts = diagnosis.per_class[diagnosis.dataset.classes.index(wanted)]
    value: float | None = getattr(facts, figure)
    return value


def _decrease(name: str, diagnosis: Diagnosis) -> float | None:
    """Returns by how much the figure is below the baseline, or `None` if it is not defined. Negative if it is above."""
    comparison = diagnosis.comparison
    if comparison is None:
        return None
    _, _, wanted = name.partition(".")
    if not wanted:
        return -comparison.difference
    change = comparison.classes[diagnosis.dataset.classes.index(wanted)]
    return None if change.base is None or change.head is None else change.base - change.head


def from_table(rule: GateRule, limits: object) -> tuple[Gate, ...]:
    """Reads the gates of one rule from a table of an options file.

    Example:
        >>> from_table("fail-under", {"accuracy": 0.78, "recall": {"cat": 0.6}})[1]
        Gate(rule='fail-under', name='recall.cat', limit=0.6)

    Args:
        rule: The rule.
        limits: Name and share of each gate. TOML reads `recall.cat = 0.6` as a table in a table.

    Raises:
        SettingsError: If `limits` is not such a table.
    """
    if not isinstance(limits, Mapping):
        raise SettingsError(f"`{rule}` takes a table such as {{accuracy = 0.78}}. Received: {limits!r}")
    return tuple(_from_limit(rule, name, limit) for name, limit in _flat(limits))


def _from_limit(rule: GateRule, name: str, limit: object) -> Gate:
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        raise SettingsError(f"`{rule}` takes numbers. Received: {name} = {limit!r}")
    return Gate(rule, name, float(limit))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields names and values of nested tables: without quotation marks, TOML nests `recall.cat`."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def overridden(gates: Iterable[Gate], by: Iterable[Gate]) -> tuple[Gate, ...]:
    """Joins two sets of gates; `by` has precedence if both have a gate with the same rule and name."""
    return tuple({(gate.rule, gate.name): gate for gate in [*gates, *by]}.values())
