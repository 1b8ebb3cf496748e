"""The progress of a training run."""

from __future__ import annotations

from contextlib import ExitStack

import keras

from lrdiag.formats import percent
from lrdiag.progress import Progress


class TrainingProgress(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports each step of a training run to a `Progress`, in a stage that ends with training.

    Use it as a context around `fit`, so that the stage also ends if an error occurs.

    Args:
        progress: The listener.
        images: Number of training images in an epoch.
        batch_size: Number of images in a full batch.
        first_epoch: The epoch to begin with, counted from 0.
    """

    def __init__(self, progress: Progress, images: int, batch_size: int, first_epoch: int = 0) -> None:
        super().__init__()
        self._progress, self._images, self._batch_size = progress, images, batch_size
        self._first_epoch = first_epoch
        self._open = ExitStack()
        self._score = ""

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Opens the stage."""
        total = self._images * (self.params["epochs"] - self._first_epoch)
        self._stage = self._open.enter_context(self._progress.stage("Training", total, "images"))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stores the number of the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Advances by a batch."""
        self._advance(self._batch_size)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Shows the validation accuracy."""
        self._score = f" · validation {percent((logs or {}).get('val_accuracy'))}"
        self._advance(0)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Closes the stage."""
        self._open.close()

    def _advance(self, images: int) -> None:
        self._stage.advance(images, f"epoch {self._epoch + 1}/{self.params['epochs']}{self._score}")
