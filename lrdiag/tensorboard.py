"""Logs for TensorBoard: learning rate and loss of each step, findings, confusion matrix, misclassified images."""

from __future__ import annotations

import os
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrdiag import formats
from lrdiag.backend.tensorflow_only import import_tensorflow
from lrdiag.errors import SettingsError
from lrdiag.explain.overlay import overlay
from lrdiag.report.summary import render_findings

if TYPE_CHECKING:
    from lrdiag.report.report import Report

MISTAKES = 16  # misclassified images that are shown
_MAX_CLASSES = 30  # in a confusion matrix with legible names


class Log:
    """Summaries in a folder that `tensorboard --logdir` reads.

    Args:
        folder: The log folder. It is created if it doesn't exist.

    Raises:
        SettingsError: If TensorBoard or TensorFlow is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        if find_spec("tensorboard") is None:
            raise SettingsError(
                "`log_dir` needs TensorBoard. Install it: `python -m pip install 'lrdiag[tensorboard]'`. "
                f"Received: log_dir={str(folder)!r} without TensorBoard"
            )
        tf = import_tensorflow("`log_dir`", SettingsError)
        self._summary = tf.summary
        self._writer = tf.summary.create_file_writer(os.fsencode(folder))
        self._logged = 0

    def log_steps(self, learning_rates: list[float], losses: list[float]) -> None:
        """Writes the steps since the last call."""
        with self._writer.as_default():
            for step in range(self._logged, len(losses)):
                self._summary.scalar("lrdiag/learning_rate", learning_rates[step], step=step)
                self._summary.scalar("lrdiag/batch_loss", losses[step], step=step)
        self._logged = len(losses)
        self._writer.flush()

    def log_report(self, report: Report, epoch: int) -> None:
        """Writes accuracy, findings, confusion matrix, and the misclassified images of the highest loss with heatmaps.

        Args:
            report: The report of the model at this point.
            epoch: Number of completed epochs.
        """
        with self._writer.as_default():
            self._summary.scalar("lrdiag/accuracy", report.accuracy, step=epoch)
            self._summary.text("lrdiag/findings", render_findings(report.diagnosis), step=epoch)
            self._summary.image("lrdiag/confusion", _confusion_picture(report)[np.newaxis], step=epoch)
            mistakes = worst_mistakes(report)
            if mistakes is not None:
                self._summary.image("lrdiag/mistakes", mistakes, step=epoch, max_outputs=MISTAKES)
        self._writer.flush()


def worst_mistakes(report: Report) -> Any:
    """Returns the misclassified images of the highest loss with their heatmaps.

    Returns:
        A `uint8` array of shape `(k, height, width, 3)`, or `None` if there are none or they were
        left out.
    """
    if report.heatmaps is None or "images" in report.diagnosis.left_out:
        return None
    kept = np.intersect1d(report.mistake_indices, report.heatmaps.indices, assume_unique=True)
    ranked = report.predictions.ranked_mistakes
    ranked = ranked[np.isin(ranked, kept)]
    maps = report.heatmaps.predicted[np.searchsorted(report.heatmaps.indices, ranked)]
    finite = np.flatnonzero(np.isfinite(maps).all(axis=(1, 2)))[:MISTAKES]
    images = report.mistakes[np.searchsorted(report.mistake_indices, ranked[finite])]
    return overlay(images, maps[finite]) if len(finite) else None


def _confusion_picture(report: Report) -> np.ndarray:
    """Returns a picture of the confusion matrix, a `uint8` array of shape `(height, width, 4)`."""
    from matplotlib.figure import Figure
    from PIL import Image
    from sklearn.metrics import ConfusionMatrixDisplay

    names = [str(formats.legible(formats.short(name))) for name in report.diagnosis.dataset.classes]
    legible = len(names) <= _MAX_CLASSES
    side = 4 + 0.4 * min(len(names), _MAX_CLASSES)
    figure = Figure((side, side), layout="constrained")
    display = ConfusionMatrixDisplay(report.confusion, display_labels=names if legible else None)
    axes = figure.subplots()
    display.plot(ax=axes, include_values=legible, xticks_rotation="vertical", colorbar=False, cmap="Oranges")
    encoded = BytesIO()
    figure.savefig(encoded, format="png")
    return np.asarray(Image.open(encoded, formats=("PNG",)))
