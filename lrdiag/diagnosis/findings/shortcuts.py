"""Rules about shortcuts: what decides the prediction without being the object."""

from __future__ import annotations

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import MOST_EXHIBITS, Answer, Found, Passed, Shown
from lrdiag.formats import percent, plural, short
from lrdiag.record.data_facts import Shortcut
from lrdiag.record.facts import Severity

DECIDES = 0.5
"""Share of images that turn from which on a shortcut decides the prediction. Below, it is one of several things that
the model uses."""
INFLUENCES = 0.25
"""The same from which on the model may use it instead of the object. A part of the object turns a few images too."""
SEEN = 0.05
"""The same, or loss of recall, from which on the model uses it at all."""


def shortcut(evidence: Evidence) -> Answer:
    """Something in the images of a class, which images of other classes don't have, changes the predictions."""
    shortcuts = given(evidence.shortcuts)
    if not shortcuts:
        return Passed()
    first, *others = sorted(shortcuts, key=lambda each: -effect_of(each))
    name = short(evidence.facts.dataset.classes[first.label])
    role, severity = _role(first)
    title = f"{first.name} {role}."
    more = f" The same is true of {', '.join(each.name for each in others)}." if others else ""
    return Found(
        title[0].upper() + title[1:],
        _evidence(first, name) + more,
        "Look at the images before and after. Crop or cover it in all training images, or collect images of "
        f"{name} without it, and train again. Evaluate with images of {name} without it.",
        effect_of(first),
        why=f"The model need not recognize {name} if this is enough. It fails on images of {name} that don't have it, "
        "and no test set that has it too shows that.",
        severity=severity,
        exhibits=_exhibits(evidence, [first, *others]),
    )


def _role(each: Shortcut) -> tuple[str, Severity]:
    """What a shortcut does, and how severe that is."""
    if effect_of(each) >= DECIDES:
        return "decides the prediction", "error"
    if effect_of(each) >= INFLUENCES:
        return "influences the prediction", "warning"
    lost = (each.covered_before or 0.0) - (each.covered_after or 0.0)
    if max(effect_of(each), lost) >= SEEN:
        return "helps to recognize them, unless it is a part of the object", "note"
    return "tells the class, but the model hardly uses it", "note"


def effect_of(each: Shortcut) -> float:
    """The share of images that turn, beyond the usual one."""
    return each.turned - each.usual


def _evidence(each: Shortcut, name: str) -> str:
    where = "training" if each.part == "train" else "test"
    text = (
        f"{percent(each.share)} of the {where} images of {name} show it, and {percent(each.share_of_others)} of the "
        f"others. Put on {plural(each.images, 'image')} of other classes, it makes the model predict {name} for "
        f"{percent(each.turned)} of them; the same change by another class does so for {percent(each.usual)}."
    )
    if each.covered_before is None or each.covered_after is None:
        return text
    return (
        f"{text} Removed from {plural(each.covered_images, 'image')} of {name}, it lowers their recall from "
        f"{percent(each.covered_before)} to {percent(each.covered_after)}."
    )


def _exhibits(evidence: Evidence, shortcuts: list[Shortcut]) -> list[Shown]:
    changed = [each for shortcut in shortcuts for each in evidence.changed.get(shortcut.name, ())]
    return [Shown(each.image, each.caption, (each.before, each.after)) for each in changed[:MOST_EXHIBITS]]
