"""The record of a training run on disk, for a `fit` in another process that continues it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lrdiag.backend.weights import fingerprint
from lrdiag.errors import RunFolderError
from lrdiag.formats import plural
from lrdiag.record import unfinished
from lrdiag.record.unfinished import CallbackRecord, WatchRecord
from lrdiag.training.run_recorder import RunRecorder


class KeptRecord:
    """The record of a training run in a file. The model itself is not in it.

    Attributes:
        gaps: Sentences on updates that no process recorded.

    Args:
        file: The file.
    """

    def __init__(self, file: Path) -> None:
        self.gaps: list[str] = []
        self._file = file

    def write(self, recorder: RunRecorder, watched: WatchRecord) -> None:
        """Replaces the record by that at the end of an epoch.

        Raises:
            RunFolderError: If it cannot be written. The earlier record is kept.
        """
        unfinished.write(self._file, CallbackRecord(_shapes(recorder), recorder.record(), watched, self.gaps))

    def continue_in(self, recorder: RunRecorder, completed: int | None) -> WatchRecord | None:
        """Lets a recorder continue the record, if there is one.

        Args:
            recorder: The recorder, in `fit`, with the weights that training continues with.
            completed: Number of epochs before; `None` if training has ended.

        Returns:
            What the watch knew, or `None` if there is no record.

        Raises:
            RunFolderError: If the record does not fit, or cannot be read.
        """
        if not self._file.is_file():
            return None
        kept = unfinished.read(self._file, CallbackRecord)
        completed = _last_epoch(kept) if completed is None else completed
        missing = _missing_updates(kept, recorder, completed)
        recorder.continue_from(kept.run)
        self.gaps = list(kept.gaps)
        if missing:
            self.gaps.append(
                f"The record of the training run lacks {plural(missing, 'update')} after epoch {completed}: the "
                "process that made them ended before the end of the epoch."
            )
        inspection = kept.watched.inspection
        before = tuple(each for each in inspection.epochs if each.epoch <= completed)
        return replace(kept.watched, inspection=replace(inspection, epochs=before))


def _last_epoch(kept: CallbackRecord) -> int:
    return kept.run.first_epoch - 1 + len(kept.run.epochs)


def _shapes(recorder: RunRecorder) -> list[tuple[int, ...]]:
    return [tuple(each.shape) for each in recorder.model.weights]


def _missing_updates(kept: CallbackRecord, recorder: RunRecorder, completed: int) -> int:
    """Returns how many updates the model has made since the end of a recorded epoch.

    Raises:
        RunFolderError: If it does not continue from there.
    """
    run = kept.run
    if not run.first_epoch <= completed <= _last_epoch(kept):
        raise _misfit(f"epochs {run.first_epoch} to {_last_epoch(kept)}, but training continues after {completed}")
    if kept.shapes != _shapes(recorder):
        raise _misfit("that of another model")
    place = completed - run.first_epoch
    if run.weights_at_ends[place] == fingerprint(recorder.model):
        return 0
    before, end = [run.earlier_updates, *run.updates_at_ends][place : place + 2]
    missing = recorder.updates() - end
    if not 0 < missing < end - before:  # `BackupAndRestore` may have saved the weights within the next epoch
        raise _misfit(f"one of other weights after epoch {completed}")
    return missing


def _misfit(received: str) -> RunFolderError:
    return RunFolderError(f"The record must be that of the training run that continues. Received: {received}")
