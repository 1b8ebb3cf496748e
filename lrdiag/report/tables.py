"""The tables of a run, for spreadsheets and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lrdiag.record import folder as run_folder
from lrdiag.record.arrays import Heatmaps, Predictions
from lrdiag.record.facts import Diagnosis, RangeTestFacts, TrainingRun
from lrdiag.report.predictions import write_predictions


def write_tables(
    folder: Path, diagnosis: Diagnosis, predictions: Predictions, heatmaps: Heatmaps | None, files: tuple[str, ...] = ()
) -> None:
    """Writes the predictions and, if the run has the data, history.csv, range_test.csv and heatmaps.npz (raw heatmaps).

    Args:
        folder: The folder to write to. It must exist.
        diagnosis: Facts of the run.
        predictions: Predictions for the test set.
        heatmaps: Heatmaps of the misclassified images, or `None`.
        files: File of each test image, or empty.
    """
    write_predictions(folder, diagnosis.dataset.classes, predictions, files)
    if diagnosis.training:
        _write_history(folder / run_folder.HISTORY, diagnosis.training)
    if diagnosis.range_test:
        _write_range_test(folder / run_folder.RANGE_TEST, diagnosis.range_test)
    if heatmaps:
        with run_folder.replacing(folder / run_folder.HEATMAPS) as temporary:
            np.savez(temporary, index=heatmaps.indices, predicted=heatmaps.signed_predicted, true=heatmaps.signed_true)


def _write_history(path: Path, training: TrainingRun) -> None:
    run_folder.write_csv(
        path,
        ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"),
        (
            (number, each.loss, each.accuracy, each.val_loss, each.val_accuracy, each.seconds)
            for number, each in enumerate(training.epochs, training.first_epoch)
        ),
    )


def _write_range_test(path: Path, test: RangeTestFacts) -> None:
    # A sweep that was measured elsewhere may have no smoothed losses.
    smoothed: Sequence[float | None] = test.smoothed_losses or [None] * len(test.losses)
    run_folder.write_csv(
        path,
        ("step", "learning_rate", "loss", "smoothed_loss"),
        zip(range(len(test.losses)), test.learning_rates, test.losses, smoothed, strict=True),
    )
