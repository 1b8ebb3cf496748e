"""Records the learning rate, the momentum and the loss of every step of a training run."""

from __future__ import annotations

from typing import Any

import keras

from lrdiag.backend.optimizers import choose_optimizers, current, inner_optimizers
from lrdiag.backend.scalar import Cell
from lrdiag.errors import ModelError
from lrdiag.record.arrays import finite


class BatchLoss:
    """Reads the loss of each batch alone, where `logs["loss"]` is the running mean of the epoch so far.

    For the step itself the sums of Keras's loss tracker are laid aside, and then put together again, so the logs of
    every callback, the progress bar and the history are what they would have been. That is done around the training
    function and not between the callbacks' events: others reset the metrics there, and where data of unknown length
    end, a batch begins that never comes. Regularisers count, as in training.

    Args:
        model: A compiled model, during `fit`.

    Raises:
        ModelError: If no metric of the model is named `loss`.
    """

    def __init__(self, model: keras.Model) -> None:
        tracker = next((metric for metric in model.metrics if metric.name == "loss"), None)
        if tracker is None:
            raise _untold("metrics without one")
        self._model = model
        self._sums = Cell(tracker.total), Cell(tracker.count)

    def begin(self) -> None:
        """Call at the beginning of a batch."""
        self._train, self._model.train_function = self._model.train_function, self._train_apart

    def end(self) -> float:
        """Call at the end of a batch; returns its loss, which may be infinite or NaN.

        Raises:
            ModelError: If a `train_step` of one's own has told no loss.
        """
        total, count = map(float, self._own)
        if not count:
            raise _untold("a step after which it is what it was before")
        return total / count

    def _train_apart(self, iterator: Any) -> dict[str, Any]:
        """Makes one step; the next is made as ever."""
        self._model.train_function = self._train
        before = [cell.read() for cell in self._sums]
        for cell in self._sums:
            cell.write(0.0)
        try:
            logs: dict[str, Any] = self._train(iterator)
        finally:  # also where the data have ended
            self._own = [cell.read() for cell in self._sums]
            total, count = (was + own for was, own in zip(before, self._own, strict=True))
            for cell, value in zip(self._sums, (total, count), strict=True):
                cell.write(value)
        return {**logs, "loss": total / count} if count and "loss" in logs else logs


def _untold(received: str) -> ModelError:
    return ModelError(
        "To record the loss of each step, it must be told: in a `train_step` of your own, update the first of "
        f"`self.metrics` that is named `loss`. Received: {received}"
    )


class StepRecorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Records the learning rate, the momentum and the loss of every single step.

    Of several optimizers, the first. Where `steps_per_execution` is above 1, Keras tells of several steps at once: one
    entry is then one execution, with the rate of its first step and the mean loss of all.

    Attributes:
        learning_rates: The rate that each update was made with.
        momentums: Its momentum; empty where the optimizer has none of that name.
        losses: The loss of each update's batch alone; may end in a value that is not finite.
    """

    def __init__(self) -> None:
        super().__init__()
        self.learning_rates: list[float] = []
        self.momentums: list[float] = []
        self.losses: list[float] = []

    @property
    def loss_per_step(self) -> list[float | None]:
        """The losses as a record can hold them: `None` in the place of one that is not finite."""
        return [finite(loss) for loss in self.losses]

    @property
    def momentum_per_step(self) -> list[float] | None:
        """The momentums, or `None` where they never changed."""
        return list(self.momentums) if len(set(self.momentums)) > 1 else None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Takes hold of the model's loss and optimizer."""
        self._batch_loss = BatchLoss(self.model)
        choose_optimizers(self.model)
        self._optimizer = inner_optimizers(self.model.optimizer)[0]
        self._has_momentum = getattr(self._optimizer, "momentum", None) is not None

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Reads rate and momentum: after the update a schedule would already show the next ones."""
        self._rate = current(self._optimizer, "learning_rate")
        self._momentum = current(self._optimizer, "momentum") if self._has_momentum else None
        self._batch_loss.begin()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes them and the loss, of a batch that has come."""
        self.losses.append(self._batch_loss.end())
        self.learning_rates.append(self._rate)
        if self._momentum is not None:
            self.momentums.append(self._momentum)
