"""`ReportCallback(checkpoint=True)`: the record of two processes, under `BackupAndRestore`."""

from __future__ import annotations

import math
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag import ReportCallback
from lrdiag.backend.weights import fingerprint
from lrdiag.errors import RunFolderError
from lrdiag.record.facts import Epoch, TrainingRun
from lrdiag.record.observed import NOTHING
from lrdiag.record.unfinished import CallbackRecord, RunRecord, WatchRecord
from lrdiag.training.kept_record import _missing_updates

L = keras.layers
generator = np.random.default_rng(0)
IMAGES = generator.integers(0, 256, (20, 8, 8, 3), dtype="uint8")
LABELS = generator.integers(0, 3, 20)
STEPS = 4  # of an epoch


class Crashed(Exception):
    pass


class CrashAt(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the process, so to say, after a number of steps of an epoch."""

    def __init__(self, epoch: int, step: int = 0) -> None:
        super().__init__()
        self.place = epoch, step

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.now = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self.now, batch) == self.place:
            raise Crashed


class Recorder(ReportCallback):
    """Keeps the record of the whole run in place of a report, which takes a second."""

    whole: TrainingRun | None = None

    def _rehearse(self) -> None:
        """Nothing is evaluated."""

    def write(self, *arguments: Any, **keywords: Any) -> None:
        self.whole = self.training()

    def _write_again_if_changed(self) -> None:
        """Nothing was evaluated."""


def process(
    folder: Path, *others: keras.callbacks.Callback, save_freq: Any = "epoch", units: int = 4, **arguments: Any
) -> Recorder:
    """Trains as a new process does: with a new model and new callbacks. The backup is first, the crash last."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            L.Rescaling(1 / 255),
            L.Conv2D(units, 3, activation="relu"),
            L.BatchNormalization(),
            L.GlobalAveragePooling2D(),
            L.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    callback = Recorder(folder / "run", (IMAGES, LABELS), checkpoint=True)
    backup = keras.callbacks.BackupAndRestore(folder / "backup", save_freq=save_freq)
    settings = {"batch_size": 5, "epochs": 3, "shuffle": False, "verbose": 0, **arguments}
    with suppress(Crashed):
        model.fit(IMAGES, LABELS, callbacks=[backup, callback, *others], **settings)
    return callback


def recorded(callback: Recorder) -> TrainingRun:
    assert callback.whole is not None
    return callback.whole


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a process that ended in its third epoch, with its backup."""
    folder = tmp_path_factory.mktemp("stopped")
    process(folder, CrashAt(2))
    return folder


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / "stopped"))


def test_the_curve_has_the_steps_of_both_processes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = recorded(process(tmp_path / "whole"))
    assert (folder / "run/unfinished/record.npz").exists()
    second = process(folder)
    training = recorded(second)
    assert len(training.loss_per_step) == 3 * STEPS
    assert training.loss_per_step == whole.loss_per_step
    assert training.learning_rate_per_step == whole.learning_rate_per_step
    assert [(each.loss, each.accuracy) for each in training.epochs] == [
        (each.loss, each.accuracy) for each in whole.epochs
    ]
    assert (training.first_epoch, training.epochs_planned, training.weights_epoch) == (1, 3, 3)
    assert [each.epoch for each in second._watch.inspection.epochs] == [1, 2, 3]
    assert not (folder / "run/unfinished").exists()
    assert "record" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_process_that_ended_before_the_report(tmp_path: Path) -> None:
    class CrashAtEnd(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise Crashed

    process(tmp_path, CrashAtEnd())
    training = recorded(process(tmp_path))
    assert (len(training.loss_per_step), training.epochs_planned, training.weights_epoch) == (3 * STEPS, 3, 3)


@pytest.mark.slow
def test_the_page_says_which_updates_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The backup is that after the second step of the third epoch, which is trained again as a whole."""
    process(tmp_path, CrashAt(2, 2), save_freq=5)
    second = process(tmp_path)
    gap = "The record of the training run lacks 2 updates after epoch 2"
    assert len(recorded(second).loss_per_step) == 3 * STEPS
    assert gap in capsys.readouterr().err
    assert [note.startswith(gap) for note in second._notes()] == [True]


def test_a_record_that_does_not_fit_is_not_continued(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(folder / "backup")
    callback = process(folder, units=5, initial_epoch=2)
    assert "Received: that of another model" in capsys.readouterr().err
    assert (callback.first_epoch, len(callback.losses)) == (3, STEPS)


class Resumed:
    """Stands for a recorder in `fit`: its model, and the number of updates that the optimizer has made."""

    def __init__(self, model: keras.Model, updates: int) -> None:
        self.model, self._updates = model, updates

    def updates(self) -> int:
        return self._updates


@pytest.mark.parametrize(
    ("completed", "updates", "missing"),
    [(3, 8, 0), (2, 7, 3), (2, 4, None), (2, 8, None), (1, 4, None), (4, 12, None)],
)
def test_only_the_same_weights_or_those_of_the_next_epoch_continue(
    completed: int, updates: int, missing: int | None
) -> None:
    """The record has the epochs 2 and 3, of 4 updates each. The weights are those after epoch 3."""
    model = keras.Sequential([keras.Input((2,)), L.Dense(1)])
    epochs = [Epoch(1.0, None, None, None, 1.0)] * 2
    weights = [b"others", fingerprint(model)]
    run = RunRecord(2, epochs, [], [], [], None, 0, [4, 8], [4, 8], weights, [])
    watched = WatchRecord(NOTHING, False, {}, None, [], math.inf, True)
    kept = CallbackRecord([(2, 1), (1,)], run, watched, [])
    resumed: Any = Resumed(model, updates)
    if missing is not None:
        assert _missing_updates(kept, resumed, completed) == missing
        return
    with pytest.raises(RunFolderError, match="must be that of the training run"):
        _missing_updates(kept, resumed, completed)


@pytest.mark.slow
def test_a_fit_from_the_beginning_begins_a_new_record(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(folder / "backup")
    assert len(process(folder, epochs=1).losses) == STEPS
    assert "record" not in capsys.readouterr().err
