"""Collects the state of a training run at the end of an epoch, and restores it in another process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from lrdiag.backend.state import TrainingState
from lrdiag.record.unfinished import Plateau, TrainingRecord, WatchRecord
from lrdiag.training.fit import Policy
from lrdiag.training.guard import DivergenceGuard
from lrdiag.training.run_recorder import RunRecorder


def collected(
    recorder: RunRecorder, watched: WatchRecord, policy: Policy, guard: DivergenceGuard
) -> tuple[TrainingRecord, list[np.ndarray]]:
    """Returns everything that training has changed so far.

    Args:
        recorder: The recorder, in `fit`.
        watched: What the watch knows.
        policy: The policy, whose callbacks have a state.
        guard: The guard.

    Returns:
        The record, and the values of the variables.
    """
    state = TrainingState(recorder.model)
    epochs = (recorder.params or {}).get("epochs") or 0
    record = TrainingRecord(
        run=recorder.record(),
        watched=watched,
        random=state.random,
        plateaus=[Plateau(each.best, each.wait, each.cooldown_counter) for each in _plateaus(policy)],
        completed_epochs=guard.completed_epochs,
        stop_reason=guard.stop_reason,
        is_stopped=recorder.model.stop_training or recorder.last_epoch >= epochs,
    )
    return record, state.values


def restore(
    record: TrainingRecord,
    read: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]],
    recorder: RunRecorder,
    policy: Policy,
    guard: DivergenceGuard,
) -> None:
    """Restores everything that `collected` returned in another process. Call it before the first epoch begins.

    Args:
        record: The record.
        read: Takes arrays, and returns the values of the variables as arrays of the same shapes and types.
        recorder: The recorder, in `fit`.
        policy: The policy.
        guard: The guard.
    """
    state = TrainingState(recorder.model)
    state.replace(read(state.values), record.random)
    state.restore()
    recorder.continue_from(record.run)
    for callback, plateau in zip(_plateaus(policy), record.plateaus, strict=True):
        callback.best, callback.wait, callback.cooldown_counter = plateau.best, plateau.wait, plateau.cooldown_counter
    guard.completed_epochs, guard.stop_reason = record.completed_epochs, record.stop_reason
    recorder.model.stop_training = record.is_stopped


def _plateaus(policy: Policy) -> list[keras.callbacks.ReduceLROnPlateau]:
    return [each for each in policy.callbacks if isinstance(each, keras.callbacks.ReduceLROnPlateau)]
