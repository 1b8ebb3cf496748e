"""The tables of a run, for spreadsheets and scripts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lrdiag.record import folder as run_folder
from lrdiag.record.arrays import Heatmaps, Predictions
from lrdiag.record.facts import Diagnosis


def write_tables(
    folder: Path, diagnosis: Diagnosis, predictions: Predictions, heatmaps: Heatmaps | None, files: tuple[str, ...] = ()
) -> None:
    """Writes predictions.csv, history.csv, range_test.csv and the raw maps, heatmaps.npz.

    Args:
        folder: Where to write; it exists.
        diagnosis: The facts of the run.
        predictions: Of the test set.
        heatmaps: Of the misclassified images, or `None`.
        files: The file of each test image, or empty.
    """
    _write_predictions(folder / "predictions.csv", diagnosis.dataset.classes, predictions, files)
    run_folder.write_csv(
        folder / "history.csv",
        ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"),
        (
            (number, each.loss, each.accuracy, each.val_loss, each.val_accuracy, each.seconds)
            for number, each in enumerate(diagnosis.training.epochs if diagnosis.training else (), 1)
        ),
    )
    measured = diagnosis.range_test
    run_folder.write_csv(
        folder / "range_test.csv",
        ("step", "learning_rate", "loss", "smoothed_loss"),
        zip(
            range(len(measured.losses)), measured.learning_rates, measured.losses, measured.smoothed_losses, strict=True
        )
        if measured
        else (),
    )
    if heatmaps:
        with run_folder.replacing(folder / "heatmaps.npz") as temporary:
            np.savez(temporary, index=heatmaps.indices, predicted=heatmaps.signed_predicted, true=heatmaps.signed_true)


def _write_predictions(path: Path, classes: list[str], predictions: Predictions, files: tuple[str, ...]) -> None:
    columns = zip(
        predictions.labels.tolist(),
        predictions.predicted.tolist(),
        predictions.confidence.tolist(),
        predictions.losses.tolist(),
        files or [""] * len(predictions.labels),
        strict=True,
    )
    run_folder.write_csv(
        path,
        ("index", "true", "predicted", "correct", "confidence", "loss", "file"),
        (
            (index, classes[true], classes[predicted], int(true == predicted), confidence, loss, file)
            for index, (true, predicted, confidence, loss, file) in enumerate(columns)
        ),
    )
