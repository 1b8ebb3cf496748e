"""Rules about the learning rate and its schedule.

Before training, they judge a rate by how far one update moves the weights, relative to their size. A trial of the
optimizer with the first gradient tells that (`lrdiag.record.observed.Trial`), so that one measure fits all optimizers.
"""

from __future__ import annotations

from math import isfinite

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.diagnosis.findings.layers import has_new_head, is_trained, normalizes_batches, with_kernel
from lrdiag.diagnosis.findings.losses import learnt_little, loss_at_start, median, nothing_learnt
from lrdiag.diagnosis.findings.signal import killed_layer
from lrdiag.diagnosis.findings.updates import (
    highest_rate,
    may_be_too_large,
    move_of_update,
    rate_to_use,
    tried,
    why_unknown,
)
from lrdiag.formats import count, percent, plural
from lrdiag.formats import loss as loss_text
from lrdiag.formats import rate as rate_text
from lrdiag.record.facts import TrainingRun

SMALL_MOVE = 0.0005
"""Below it, an update is too small. Sound runs have 0.0007 and more."""
NORMALIZED = 5.0
"""How much further an update may move weights whose scale has no effect, or the weights of a single layer."""
KILLED = 0.95
"""Share of dead units from which on a layer died."""
RISEN = 3.0
"""Loss of a step divided by that of the start. Sound runs rise to 1.42 at most."""
JUMP = 1.0
"""How far the weights move in an epoch, relative to their size."""
FIRST_EPOCH = 0.01
"""How far the weights move at least in the first epoch. Sound runs move them by 0.019 and more."""
ALL_EPOCHS = 0.1
"""How far they move at least in the whole run if all epochs are like those that were observed."""
EXHAUSTED = 1e-3
"""Share of the highest rate below which a rate is spent."""
SPENT = 0.5
"""Share of the updates after which a schedule may have spent its rate."""
RISING = 1.2
"""A rate that has risen by this factor is a warm-up."""


def negative_rate(evidence: Evidence) -> Answer:
    """The learning rate is below 0, or the optimizer goes up the loss."""
    rates, trial, run = given(evidence.rates), evidence.trial, evidence.training
    used = [] if run is None else run.learning_rate_per_step
    lowest, highest = min([rates.lowest, *used]), max([rates.highest, *used])
    if lowest < 0:
        return Found(
            f"The learning rate is negative: {rate_text(lowest)}.",
            f"The rates go from {rate_text(lowest)} to {rate_text(highest)}.",
            f"Set a positive rate: `learning_rate={rate_text(abs(lowest))}`.",
            lowest,
            0.0,
            why="Each update makes the loss larger.",
        )
    if trial is not None and trial.climbs:
        return Found(
            "The optimizer climbs: its updates make the loss larger.",
            "Ten updates with the first gradient moved copies of the weights in the direction of the gradient.",
            "Subtract the gradient in `update_step` of the optimizer, or use an optimizer of Keras.",
            why="Each update makes the loss larger.",
        )
    return Passed(lowest, 0.0)


def rate_too_high(evidence: Evidence, threshold: float) -> Answer:
    """One update moves the weights too far, or training has shown that updates were too large."""
    run = evidence.training
    if run is not None:
        seen = _diverged(evidence, run) or _killed(evidence) or _jumped(evidence, run)
        if seen is not None:
            return seen
    move, rate, layers = move_of_update(evidence), highest_rate(evidence), evidence.layers
    if move is None or rate is None or layers is None:
        return NotChecked(why_unknown(evidence))
    trained = sum(kernel.trainable for _, kernel in with_kernel(layers))
    limit = threshold * (NORMALIZED if trained == 1 or normalizes_batches(layers) else 1.0)
    if move <= limit:
        return Passed(move, limit)
    return Found(
        f"The learning rate {rate_text(rate)} is too high: one update moves the weights by {percent(move)} of their "
        "size.",
        f"{tried(evidence)} For this network, up to {percent(limit)} is sound."
        + (" The loss became NaN or infinite." if run is not None and None in run.loss_per_step else ""),
        rate_to_use(evidence),
        move,
        limit,
        why="Such updates overwrite the weights instead of adjusting them: the loss jumps, and units die.",
    )


def _diverged(evidence: Evidence, run: TrainingRun) -> Found | None:
    """The loss of a step rose far above its start or was not finite, and nothing was learnt since."""
    start, losses = loss_at_start(evidence), run.loss_per_step
    was_broken = evidence.start is not None and not isfinite(evidence.start.loss)  # not by an update
    if start is None or not losses or was_broken:
        return None
    broken = next((step for step, each in enumerate(losses) if each is None), None)
    worst = max((each for each in losses if each is not None), default=0.0)
    has_risen = worst > RISEN * start
    if broken is not None and (has_risen or (broken < run.steps_per_epoch and may_be_too_large(evidence))):
        step, how = broken, "became NaN or infinite"
    elif has_risen and nothing_learnt(evidence):
        step, how = losses.index(worst), f"rose to {loss_text(worst)}"
    else:
        return None
    return Found(
        f"The learning rate{_rate_at(run, step)} is too high: the loss {how}.",
        f"The loss was {loss_text(start)} at the start. At update {count(step + 1)} of {count(len(losses))} it {how}. "
        f"{tried(evidence)}",
        rate_to_use(evidence),
        worst / start,
        RISEN,
        why="The updates overshoot, so that each of them makes the model worse.",
        severity="error",
    )


def _killed(evidence: Evidence) -> Found | None:
    """A ReLU layer that was active at the start died."""
    killed = killed_layer(evidence, KILLED) if evidence.layers else None
    rate = highest_rate(evidence)
    if killed is None or rate is None or not may_be_too_large(evidence):
        return None
    layer, share, epoch = killed
    return Found(
        f"The learning rate {rate_text(rate)} is too high: {percent(share)} of the units of `{layer.name}` are dead.",
        f"{percent(layer.activity.silent)} of its units returned 0 for every image before training, and "
        f"{percent(share)} do after epoch {epoch}. {tried(evidence)}",
        rate_to_use(evidence),
        share,
        KILLED,
        why="A ReLU that is never active has no gradient, so that its unit can't recover.",
        severity="error" if share == 1 else None,
    )


def _jumped(evidence: Evidence, run: TrainingRun) -> Found | None:
    """The weights moved by more than their size in each epoch, and nothing was learnt."""
    moved = [
        median(list(state.moved.values())) for state in evidence.epochs or () if state.moved and not state.not_finite
    ]
    rate = highest_rate(evidence)
    if (
        rate is None
        or not moved
        or min(moved) <= JUMP
        or not may_be_too_large(evidence)
        or not nothing_learnt(evidence)
    ):
        return None
    return Found(
        f"The learning rate {rate_text(rate)} is too high: the weights jump, and nothing is learnt.",
        f"In each of {plural(len(moved), 'epoch')}, the weights moved by {percent(min(moved))} of their size or more. "
        f"The loss is {loss_text(run.epochs[-1].loss)}. {tried(evidence)}",
        rate_to_use(evidence),
        min(moved),
        JUMP,
        why="The updates are too large to lead down.",
    )


def clipped_gradients(evidence: Evidence, threshold: float) -> Answer:
    """Gradient clipping leaves so little that the weights hardly move, and they would without it."""
    trial, rates, optimizer = given(evidence.trial), given(evidence.rates), given(evidence.compiled).optimizer
    settings = {name: getattr(optimizer, name) for name in ("clipvalue", "clipnorm", "global_clipnorm")}
    clips = [(name, value) for name, value in settings.items() if value is not None]
    if not clips:
        return Passed()
    if not rates.updates or not trial.unclipped:
        return NotChecked("the number of updates is not known" if trial.unclipped else "the first gradients are 0")
    clipped, free = (each * abs(rates.mean) * rates.updates for each in (trial.move, trial.unclipped))
    if clipped >= threshold or free < 3 * threshold or clipped > 0.1 * free:
        return Passed(clipped, threshold)
    name, value = clips[0]
    return Found(
        f"The gradients are clipped away: `{name}={rate_text(value)}` leaves {percent(trial.move / trial.unclipped)} "
        "of each update.",
        f"All {plural(rates.updates, 'planned update')} together move the weights by {percent(clipped)} of their size. "
        f"Without clipping, it would be {percent(free)}.",
        f"Remove `{name}`, or cut off outliers only: `clipnorm=1.0`.",
        clipped,
        threshold,
        why="The weights hardly move, whatever the images show.",
    )


def rate_too_low(evidence: Evidence, threshold: float) -> Answer:
    """All updates together hardly move the weights of a model that was not trained before."""
    if _has_nothing_new(evidence):
        return Passed()
    seen = _hardly_moved(evidence)
    if seen is not None:
        return seen
    trial, rates = evidence.trial, evidence.rates
    if trial is None or rates is None or rates.may_change or not rates.updates:
        return NotChecked(why_unknown(evidence))
    if not trial.largest:
        return NotChecked("the first gradients are 0")
    move = trial.largest * abs(rates.mean) * rates.updates
    if move >= threshold or trial.move * abs(rates.highest) >= SMALL_MOVE:  # else the updates are too few
        return Passed(move, threshold)
    return Found(
        f"The learning rate {rate_text(rates.mean)} is too low: {plural(rates.updates, 'update')} move the weights by "
        f"{percent(move)} of their size.",
        f"{tried(evidence)} All {plural(rates.updates, 'planned update')} together move no layer by more than "
        f"{percent(move)}.",
        rate_to_use(evidence),
        move,
        threshold,
        why="The model ends almost as it began.",
    )


def _hardly_moved(evidence: Evidence) -> Found | None:
    """The epochs so far moved the weights by less than a hundredth of their size, and little was learnt."""
    states, run = evidence.epochs, evidence.training
    if not states or run is None or _is_warming_up(evidence, run) or not learnt_little(evidence):
        return None
    moved = sum(max(state.moved.values(), default=0.0) for state in states)
    if not 0 < moved < FIRST_EPOCH or moved * run.epochs_planned / len(states) >= ALL_EPOCHS:
        return None
    return Found(
        f"The learning rate{_rate_at(run, 0)} is too low: the weights hardly move.",
        f"{plural(sum(state.updates for state in states), 'update')} moved no layer by more than {percent(moved)} of "
        f"its size. {tried(evidence)}",
        rate_to_use(evidence),
        moved,
        FIRST_EPOCH,
        why="The model ends almost as it began.",
    )


def _has_nothing_new(evidence: Evidence) -> bool:
    """Whether a trained model is trained further, which takes small updates."""
    return evidence.layers is not None and is_trained(evidence) and not has_new_head(evidence.layers)


def _is_warming_up(evidence: Evidence, run: TrainingRun) -> bool:
    seen = [abs(each) for each in run.learning_rate_per_step]
    if not seen:
        return True
    planned = abs(evidence.rates.highest) if evidence.rates is not None else 0.0
    return max(seen[-1], planned) > RISING * seen[0]


def early_decay(evidence: Evidence, threshold: float) -> Answer:
    """The schedule has spent its rate long before the end, and the weights have not moved far, or little was learnt."""
    rates, trial, run = given(evidence.rates), evidence.trial, evidence.training
    if rates.highest == rates.lowest and run is not None:
        return _decayed_by_callback(evidence, run)
    if not rates.updates:
        return NotChecked("the number of updates is not known")
    if rates.spent > SPENT or rates.highest <= rates.lowest or _has_nothing_new(evidence):
        return Passed(rates.spent, SPENT)
    moved, without = (
        None if trial is None else trial.move * each * rates.updates for each in (rates.mean, rates.highest)
    )
    if run is not None and len(run.loss_per_step) > rates.spent * rates.updates:
        is_early = learnt_little(evidence)
    else:
        is_early = moved is not None and without is not None and moved < threshold <= without
    if not is_early:
        return Passed(rates.spent, SPENT)
    moves = (
        ""
        if moved is None
        else f" All updates together move the weights by {percent(moved)} of their size. Without the decay, they would "
        f"move them by {percent(without)}."
    )
    return Found(
        f"The schedule decays too early: after {percent(rates.spent)} of the updates, the learning rate is spent.",
        f"It begins with {rate_text(rates.first)} and is below a thousandth of its maximum after "
        f"{count(round(rates.spent * rates.updates))} of {plural(rates.updates, 'update')}.{moves}",
        "Let the schedule last for all updates: "
        f"`keras.optimizers.schedules.CosineDecay({rate_text(rates.highest)}, decay_steps={rates.updates})`.",
        rates.spent,
        SPENT,
        why="Without a learning rate, the rest of training changes nothing.",
    )


def _decayed_by_callback(evidence: Evidence, run: TrainingRun) -> Answer:
    """A callback has spent the rate long before the last step, and little was learnt."""
    used = [abs(each) for each in run.learning_rate_per_step]
    if not used or not max(used):
        return NotChecked("the learning rate of the steps was not recorded")
    last = max(step for step, each in enumerate(used) if each >= EXHAUSTED * max(used))
    spent = (last + 1) / len(used)
    if spent > SPENT or not learnt_little(evidence):
        return Passed(spent, SPENT)
    return Found(
        f"The learning rate decays too early: after {percent(spent)} of the updates, it is spent.",
        f"A callback lowered it from {rate_text(max(used))} to {rate_text(used[-1])}. It is below a thousandth of its "
        f"maximum since update {count(last + 2)} of {count(len(used))}.",
        "Let the callback wait longer and lower the rate less, such as "
        "`keras.callbacks.ReduceLROnPlateau(factor=0.2, patience=5)`.",
        spent,
        SPENT,
        why="Without a learning rate, the rest of training changes nothing.",
    )


def _rate_at(run: TrainingRun, step: int) -> str:
    rates = run.learning_rate_per_step
    return f" {rate_text(rates[step])}" if step < len(rates) else ""
