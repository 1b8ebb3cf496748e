"""Stops a training run that diverges."""

from __future__ import annotations

import math

import keras


class DivergenceGuard(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops training when the loss is NaN or infinite, and restores the weights of the epoch's start.

    The validation loss counts too: only it shows an epoch whose last update diverged.

    Attributes:
        stop_reason: Why training was stopped, in words. `None` if it wasn't.
        completed_epochs: Number of epochs that were not undone.
    """

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begins a new training run."""
        self.stop_reason: str | None = None
        self.completed_epochs = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Copies the weights."""
        self._epoch = epoch
        self._weights = [keras.ops.convert_to_numpy(variable) for variable in self.model.variables]

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stops training if the loss isn't finite. The logged mean of the epoch isn't finite from that step on."""
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self._stop(f"the loss was not finite at step {batch + 1:,} of epoch {self._epoch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Restores the weights if the epoch diverged."""
        if not math.isfinite((logs or {}).get("val_loss", 0.0)):
            self._stop(f"the validation loss was not finite after epoch {epoch + 1}")
        if self.stop_reason is None:
            self.completed_epochs += 1
            return
        for variable, value in zip(self.model.variables, self._weights, strict=True):
            variable.assign(value)

    def _stop(self, reason: str) -> None:
        self.stop_reason = self.stop_reason or reason
        self.model.stop_training = True
