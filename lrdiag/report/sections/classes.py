"""How well each class is known."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.records import ClassFacts, Run


@dataclass(frozen=True)
class ClassRow:
    """One class; `rival` is what it is most often taken for, and how often, or `None`."""

    index: int
    facts: ClassFacts
    mistakes: int
    rival: tuple[int, int] | None


@dataclass(frozen=True)
class Classes:
    """Precision, recall and F1 of each class."""

    sentence: str
    names: list[str]
    rows: list[ClassRow]


def build(run: Run) -> Classes:
    """Puts each class beside what it is taken for."""
    diagnosis = run.diagnosis
    rows = [
        ClassRow(index, facts, facts.support - counts[index], _rival(index, counts))
        for index, (facts, counts) in enumerate(zip(diagnosis.per_class, diagnosis.confusion, strict=True))
    ]
    return Classes(_sentence(diagnosis.per_class), diagnosis.dataset.classes, rows)


def _rival(index: int, counts: list[int]) -> tuple[int, int] | None:
    others = [(count, -other) for other, count in enumerate(counts) if other != index and count]
    if not others:
        return None
    count, other = max(others)
    return -other, count


def _sentence(per_class: list[ClassFacts]) -> str:
    known = [(facts.recall, facts.name) for facts in per_class if facts.recall is not None]
    if not known:
        return "No class has a test image."
    (high, best), (low, worst) = max(known, key=lambda pair: pair[0]), min(known, key=lambda pair: pair[0])
    if high == low:
        return f"Every class is found equally often, {formats.percent(high)} of its images."
    return (
        f"Found most often: {formats.short(best)}, {formats.percent(high)} of its images; "
        f"least often: {formats.short(worst)}, {formats.percent(low)}."
    )
