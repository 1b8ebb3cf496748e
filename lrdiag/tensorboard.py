"""A training in TensorBoard: the rate and loss of each step, the confusion matrix, the worst mistakes."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrdiag.errors import SettingsError
from lrdiag.explain.overlay import overlay

if TYPE_CHECKING:
    from lrdiag.report.report import Report

MISTAKES = 16  # that are shown with their maps
_MOST_CLASSES = 30  # of a confusion matrix whose names can be read


class Log:
    """Summaries in a folder that `tensorboard --logdir` reads.

    Args:
        folder: Where; it is made if there is none.

    Raises:
        SettingsError: If TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        import tensorflow as tf

        if find_spec("tensorboard") is None:
            raise SettingsError(
                "To log for TensorBoard it must be installed: `python -m pip install 'lrdiag[tensorboard]'`. "
                f"Received: log_dir={str(folder)!r} without it"
            )

        self._summary = tf.summary
        self._writer = tf.summary.create_file_writer(str(folder))
        self._logged = 0

    def log_steps(self, learning_rates: list[float], losses: list[float]) -> None:
        """Writes the steps that are new since the last call."""
        with self._writer.as_default():
            for step in range(self._logged, len(losses)):
                self._summary.scalar("lrdiag/learning_rate", learning_rates[step], step=step)
                self._summary.scalar("lrdiag/batch_loss", losses[step], step=step)
        self._logged = len(losses)
        self._writer.flush()

    def log_report(self, report: Report, epoch: int) -> None:
        """Writes accuracy, confusion matrix and the worst mistakes with their heatmaps.

        Args:
            report: Of the network as it is now.
            epoch: How many epochs are done.
        """
        with self._writer.as_default():
            self._summary.scalar("lrdiag/accuracy", report.accuracy, step=epoch)
            self._summary.image("lrdiag/confusion", _confusion_picture(report)[np.newaxis], step=epoch)
            mistakes = worst_mistakes(report)
            if mistakes is not None:
                self._summary.image("lrdiag/mistakes", mistakes, step=epoch, max_outputs=MISTAKES)
        self._writer.flush()


def worst_mistakes(report: Report) -> Any:
    """The mistakes of the highest loss under their heatmaps, a `uint8` array `(k, height, width, 3)`, or `None`."""
    if report.heatmaps is None:
        return None
    rows = np.searchsorted(report.heatmaps.indices, report.predictions.ranked_mistakes)
    rows = rows[np.isfinite(report.heatmaps.predicted[rows]).all(axis=(1, 2))][:MISTAKES]
    return overlay(report.mistakes[rows], report.heatmaps.predicted[rows]) if len(rows) else None


def _confusion_picture(report: Report) -> np.ndarray:
    """The confusion matrix as a `uint8` picture of shape `(height, width, 4)`."""
    from matplotlib.figure import Figure
    from PIL import Image
    from sklearn.metrics import ConfusionMatrixDisplay

    names = report.diagnosis.dataset.classes
    legible = len(names) <= _MOST_CLASSES
    side = 4 + 0.4 * min(len(names), _MOST_CLASSES)
    figure = Figure((side, side), layout="constrained")
    display = ConfusionMatrixDisplay(report.confusion, display_labels=names if legible else None)
    axes = figure.subplots()
    display.plot(ax=axes, include_values=legible, xticks_rotation="vertical", colorbar=False, cmap="Oranges")
    encoded = BytesIO()
    figure.savefig(encoded, format="png")
    return np.asarray(Image.open(encoded))
