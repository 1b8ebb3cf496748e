"""Gates: what a run must reach to be let through, from the command line or from a file of options.

A gate is a share: `accuracy=0.78`, `recall.cat=0.6`. It is either the least that a figure may be, or the most that it
may have fallen since the baseline.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lrdiag.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from lrdiag.record.facts import Diagnosis

Rule = Literal["fail-under", "fail-if-worse"]
RULES: tuple[Rule, ...] = ("fail-under", "fail-if-worse")
FIGURES: dict[Rule, tuple[str, ...]] = {
    "fail-under": ("accuracy", "recall", "precision", "f1"),
    "fail-if-worse": ("accuracy", "recall"),
}
_ROUNDING = 1e-9  # 0.79 - 0.78 is a little more than 0.01


@dataclass(frozen=True)
class Gate:
    """What one figure must reach.

    Example:
        >>> Gate("fail-under", "recall.cat", 0.6)
        Gate(rule='fail-under', name='recall.cat', limit=0.6)

    Attributes:
        rule: `"fail-under"`: the figure must be `limit` or more. `"fail-if-worse"`: it may have fallen by `limit`.
        name: `accuracy`, or `recall.`, `precision.` or `f1.` with the name of a class.
        limit: A share between 0 and 1.

    Raises:
        SettingsError: If there is no such figure, or the limit is no share.
    """

    rule: Rule
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
    def parse(cls, rule: Rule, text: str) -> Gate:
        """Reads `accuracy=0.78`; the last `=` counts, since the name of a class may hold one."""
        name, _, limit = text.rpartition("=")
        try:
            return cls(rule, name, float(limit))
        except ValueError as error:
            if isinstance(error, SettingsError):
                raise
            raise SettingsError(f"`{rule}` takes NAME=SHARE, such as accuracy=0.78. Received: {text!r}") from error


@dataclass(frozen=True)
class Outcome:
    """Whether a run is let through one gate; `actual` is `None` where the figure is not defined."""

    gate: Gate
    actual: float | None
    passed: bool

    def __str__(self) -> str:
        expected = f"{'at least' if self.gate.rule == 'fail-under' else 'worse by at most'} {self.gate.limit:g}"
        return f"{'passed' if self.passed else 'FAILED'} {self.gate.name}: expected {expected}, actual {self._actual()}"

    def _actual(self) -> str:
        if self.actual is None:
            return "not defined"
        if self.gate.rule == "fail-under":
            return f"{self.actual:.6g}"
        return f"{'worse' if self.actual > 0 else 'better'} by {abs(self.actual):.6g}" if self.actual else "unchanged"


def refuse_unknown_classes(gates: Iterable[Gate], classes: Iterable[str]) -> None:
    """Refuses gates on classes that the data do not have, before hours of training.

    Raises:
        SettingsError: With the nearest name.
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
    """Holds a run against its gates, the failed ones first.

    A figure that is not defined, such as the precision of a class that was never predicted, is not let through.
    Without a comparison there is nothing that could have got worse: those gates are left out.

    Raises:
        SettingsError: If a gate names a class that the data do not have.
    """
    gates = list(gates)
    refuse_unknown_classes(gates, diagnosis.dataset.classes)
    held = [_hold(gate, diagnosis) for gate in gates if gate.rule == "fail-under" or diagnosis.comparison]
    return sorted(held, key=lambda outcome: outcome.passed)


def _hold(gate: Gate, diagnosis: Diagnosis) -> Outcome:
    if gate.rule == "fail-under":
        actual = _figure(gate.name, diagnosis)
        return Outcome(gate, actual, actual is not None and actual >= gate.limit - _ROUNDING)
    loss = _loss(gate.name, diagnosis)
    return Outcome(gate, loss, loss is not None and loss <= gate.limit + _ROUNDING)


def _figure(name: str, diagnosis: Diagnosis) -> float | None:
    figure, _, wanted = name.partition(".")
    if not wanted:
        return diagnosis.test.accuracy
    facts = diagnosis.per_class[diagnosis.dataset.classes.index(wanted)]
    value: float | None = getattr(facts, figure)
    return value


def _loss(name: str, diagnosis: Diagnosis) -> float | None:
    """How much of the figure the change has cost; below 0 where it has gained."""
    comparison = diagnosis.comparison
    if comparison is None:
        return None
    _, _, wanted = name.partition(".")
    if not wanted:
        return -comparison.difference
    change = comparison.classes[diagnosis.dataset.classes.index(wanted)]
    return None if change.base is None or change.head is None else change.base - change.head


def from_table(rule: Rule, limits: object) -> tuple[Gate, ...]:
    """The gates of one rule, as a file of options holds them.

    Example:
        >>> from_table("fail-under", {"accuracy": 0.78, "recall": {"cat": 0.6}})[1]
        Gate(rule='fail-under', name='recall.cat', limit=0.6)

    Args:
        rule: Which rule.
        limits: Name and share of each; `recall.cat = 0.6` is a table in a table, as TOML reads it.

    Raises:
        SettingsError: If it is no such table.
    """
    if not isinstance(limits, Mapping):
        raise SettingsError(f"`{rule}` takes a table such as {{accuracy = 0.78}}. Received: {limits!r}")
    return tuple(_from_limit(rule, name, limit) for name, limit in _flat(limits))


def _from_limit(rule: Rule, name: str, limit: object) -> Gate:
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        raise SettingsError(f"`{rule}` takes numbers. Received: {name} = {limit!r}")
    return Gate(rule, name, float(limit))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values; without quotation marks, TOML reads `recall.cat` as a table in a table."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def overridden(gates: Iterable[Gate], by: Iterable[Gate]) -> tuple[Gate, ...]:
    """The gates of both; where both have one of the same rule and name, the second."""
    return tuple({(gate.rule, gate.name): gate for gate in [*gates, *by]}.values())
