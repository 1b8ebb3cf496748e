"""What several rules ask of the course of the loss."""

from __future__ import annotations

from collections.abc import Sequence

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.layers import log_classes

LITTLE = 0.6
"""Share of the loss of a guess that is left if little was learnt."""
NOTHING = 0.95
"""The same if nothing was learnt."""
_RECENT = 20  # steps whose losses are the present one


def loss_at_start(evidence: Evidence) -> float | None:
    """The loss before the first update, and at least that of a guess. In nats.

    `None` if neither is known, and if images have weights, so that the losses of batches differ.
    """
    run, start = evidence.training, evidence.start
    first = run.loss_per_step[0] if run is not None and run.loss_per_step else None
    known = (first, log_classes(evidence), None if start is None else start.loss + start.penalty)
    return None if _is_weighted(evidence) else max((each for each in known if each is not None), default=None)


def learnt_little(evidence: Evidence) -> bool:
    """Whether most of the loss of a guess is left. False if that can't be told."""
    return _is_left(evidence, LITTLE)


def nothing_learnt(evidence: Evidence) -> bool:
    """Whether the loss is not below that of a guess. False if that can't be told."""
    return _is_left(evidence, NOTHING)


def _is_left(evidence: Evidence, share: float) -> bool:
    guess, run = log_classes(evidence), evidence.training
    if guess is None or run is None or _is_weighted(evidence):
        return False
    recent = [each for each in run.loss_per_step[-min(_RECENT, run.steps_per_epoch) :] if each is not None]
    if not recent:
        recent = [epoch.loss for epoch in run.epochs[-1:] if epoch.loss is not None]
    return not recent or median(recent) - _penalty(evidence) > share * guess


def _penalty(evidence: Evidence) -> float:
    """The regularization losses, which the losses of steps include."""
    if evidence.epochs:
        return evidence.epochs[-1].penalty
    return 0.0 if evidence.start is None else evidence.start.penalty


def _is_weighted(evidence: Evidence) -> bool:
    return evidence.training_data is not None and evidence.training_data.weighted


def median(values: Sequence[float]) -> float:
    """The middle value; the upper one of two."""
    return sorted(values)[len(values) // 2]
