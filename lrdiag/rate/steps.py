"""What Keras hides of a single step: the batch's own loss, and whether its rate can be set at all."""

from __future__ import annotations

import keras

from lrdiag.errors import SettingsError


class BatchLoss:
    """Reads the loss of each batch alone, where `logs["loss"]` is the running mean of the epoch so far.

    Keras's loss tracker is emptied before the batch and filled up again after it, so the history that `fit` returns
    is what it would have been. Regularisers count, as in training.

    Args:
        model: A compiled model, during `fit`.
    """

    def __init__(self, model: keras.Model) -> None:
        self._tracker = next(metric for metric in model.metrics if metric.name == "loss")
        self._total = self._count = 0.0

    def begin(self) -> None:
        """Call at the beginning of a batch."""
        self._total, self._count = float(self._tracker.total), float(self._tracker.count)
        self._tracker.reset_state()

    def end(self) -> float:
        """Call at the end of a batch; returns its loss, which may be infinite or NaN."""
        total, count = float(self._tracker.total), float(self._tracker.count)
        self._tracker.total.assign(self._total + total)
        self._tracker.count.assign(self._count + count)
        return total / count


def require_steps(model: keras.Model, caller: str) -> None:
    """Refuses `steps_per_execution` above 1, where Keras tells of several steps at once.

    Raises:
        SettingsError: If the model runs several steps in one execution.
    """
    if model.steps_per_execution != 1:
        raise SettingsError(
            f"{caller} needs every single step: compile the model with `steps_per_execution=1`. "
            f"Received: steps_per_execution={model.steps_per_execution}"
        )


def require_settable_rate(model: keras.Model, caller: str) -> None:
    """Refuses an optimizer whose rate cannot be set from outside.

    Raises:
        SettingsError: If the rate is a schedule, or the model runs several steps in one execution.
    """
    require_steps(model, caller)
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of a loss-scaling one
    if isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        raise SettingsError(
            f"{caller} sets the learning rate of every step, so the optimizer must hold a plain number. Compile the "
            f"model with a number such as 0.01. Received: {type(optimizer._learning_rate).__name__}"
        )


class StepRecorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Records the learning rate and the loss of every single step.

    Attributes:
        learning_rates: The rate that each update was made with.
        losses: The loss of each update's batch alone; may end in a value that is not finite.
    """

    def __init__(self) -> None:
        super().__init__()
        self.learning_rates: list[float] = []
        self.losses: list[float] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Takes hold of the model's loss."""
        require_steps(self.model, "StepRecorder")
        self._batch_loss = BatchLoss(self.model)

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the rate: after the update a schedule would already show the next one."""
        self.learning_rates.append(float(self.model.optimizer.learning_rate))
        self._batch_loss.begin()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the loss."""
        self.losses.append(self._batch_loss.end())
