"""How far an update moves the weights, relative to their size, and which rate to use."""

from __future__ import annotations

from lrdiag.diagnosis.evidence import Evidence, Need
from lrdiag.formats import percent
from lrdiag.formats import rate as rate_text

USUAL_MOVE = 0.01
"""Share of its size by which an update moves the weights at a usual rate: 0.001 for Adam."""
LARGE_MOVE = 0.03
"""From here on, an update may be the cause of units that die and of a loss that rises."""


def highest_rate(evidence: Evidence) -> float | None:
    """The highest rate: the recorded one if callbacks may change it, and the planned one otherwise."""
    rates, run = evidence.rates, evidence.training
    if run is not None and run.learning_rate_per_step and (rates is None or rates.may_change):
        return max(run.learning_rate_per_step)
    return None if rates is None or rates.may_change else rates.highest


def move_of_update(evidence: Evidence) -> float | None:
    """How far one update at the highest rate moves the weights, relative to their size."""
    rate = highest_rate(evidence)
    return None if rate is None or evidence.trial is None else abs(rate) * evidence.trial.move


def may_be_too_large(evidence: Evidence) -> bool:
    """Whether updates may be too large. True if that was not tried."""
    move = move_of_update(evidence)
    return move is None or move > LARGE_MOVE


def why_unknown(evidence: Evidence) -> str:
    """Why it is not known how far updates move the weights."""
    if evidence.trial is None or evidence.rates is None or evidence.layers is None:
        needs: tuple[Need, ...] = ("trial", "rates", "layers")
        return evidence.reason(next(need for need in needs if evidence.lacks(need)))
    return "a callback may set other rates" if evidence.rates.may_change else "the number of updates is not known"


def tried(evidence: Evidence) -> str:
    """What the trial of the optimizer showed, as a sentence; empty without one."""
    move, rate = move_of_update(evidence), highest_rate(evidence)
    if move is None or rate is None:
        return ""
    return (
        f"In a trial, one update at the rate {rate_text(rate)} moves the weights by {percent(move)} of their size; "
        f"about {percent(USUAL_MOVE)} is usual."
    )


def rate_to_use(evidence: Evidence) -> str:
    """The rate to use instead: that of the range test, or one whose updates have a usual size."""
    test, trial = evidence.range_test, evidence.trial
    if test is not None and test.suggestion is not None:
        return f"Use the rate of the range test: `learning_rate={rate_text(test.suggestion)}`."
    measured = "`lrdiag.find_lr(model, data)` measures a rate."
    if trial is None or not trial.move:
        return measured
    return (
        f"Use about `learning_rate={rate_text(USUAL_MOVE / trial.move, digits=1)}`, with which an update moves the "
        f"weights by {percent(USUAL_MOVE)} of their size. {measured}"
    )
