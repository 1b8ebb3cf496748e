"""What Keras hides of a single step: the batch's own loss, its update, and whether its rate can be set at all."""

from __future__ import annotations

from typing import Any

import keras

from lrdiag.errors import ModelError, SettingsError
from lrdiag.rate.cell import Cell
from lrdiag.rate.schedules import CurveSchedule
from lrdiag.records import finite

MAX_SKIPPED = 20  # updates in a row: the loss scale of float16 starts at 2**15 and is halved each time


def unscaled(optimizer: keras.Optimizer) -> keras.Optimizer:
    """The optimizer inside a loss-scaling one, else the one itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def inner_optimizers(optimizer: keras.Optimizer) -> list[keras.Optimizer]:
    """The optimizers that make the updates: those inside a loss-scaling or a multiple one, else the one itself.

    A multiple one that chooses by a function has none before `choose_optimizers`.
    """
    optimizer = unscaled(optimizer)
    return list(getattr(optimizer, "optimizers", None) or [optimizer])


def choose_optimizers(model: keras.Model) -> None:
    """Lets a multiple optimizer choose that of each variable now, which Keras leaves to the first step."""
    optimizer = unscaled(model.optimizer)
    if hasattr(optimizer, "optimizers") and model.built:
        optimizer.build(model.trainable_variables)


def current(optimizer: keras.Optimizer, name: str) -> float:
    """The number of that name at the next update, where possible without running TensorFlow op by op."""
    held = getattr(optimizer, f"_{name}", None)
    if isinstance(held, CurveSchedule):
        return held.at(int(Cell(optimizer._iterations).read()))
    if isinstance(held, keras.Variable):
        return float(Cell(held).read())
    return float(getattr(optimizer, name))


def is_adaptive(optimizer: keras.Optimizer) -> bool:
    """Whether it scales its steps by the gradients that it has seen, as all do but plain descent with momentum."""
    return not all(isinstance(each, keras.optimizers.SGD) for each in inner_optimizers(optimizer))


def batches_per_update(optimizer: keras.Optimizer) -> int:
    """Over how many batches an optimizer accumulates the gradient of one update.

    Raises:
        SettingsError: If several optimizers have no common update.
    """
    accumulated = {each.gradient_accumulation_steps or 1 for each in inner_optimizers(optimizer)}
    if len(accumulated) > 1:
        raise SettingsError(
            "Several optimizers must share one `gradient_accumulation_steps`, else there is no common update. "
            f"Received: {', '.join(map(str, sorted(accumulated)))}"
        )
    return accumulated.pop()


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
        SettingsError: If the rate is a schedule or a function, or the model runs several steps in one execution.
    """
    require_steps(model, caller)
    for optimizer in inner_optimizers(model.optimizer):
        if not isinstance(optimizer._learning_rate, keras.Variable):
            raise SettingsError(
                f"{caller} sets the learning rate of every step, so the optimizer must hold a plain number. Compile "
                f"the model with a number such as 0.01. Received: {type(optimizer._learning_rate).__name__}"
            )


class UpdateCounter:
    """Tells the updates of an optimizer from the batches that make none.

    Attributes:
        batches: How many batches the optimizer had taken when they were last counted; unlike its `iterations`, which
            are updates, and which loss scaling hides.
        is_complete: Whether the last batch completed an update; under gradient accumulation most do not.
        skipped: How many batches in a row have just made no update; loss scaling leaves out those of which a gradient
            was not finite.

    Args:
        optimizer: A built optimizer.

    Raises:
        SettingsError: If several optimizers have no common update.
    """

    def __init__(self, optimizer: keras.Optimizer) -> None:
        self._may_skip = hasattr(optimizer, "inner_optimizer")
        self._cell = Cell(unscaled(optimizer)._iterations)
        self._batches_per_update = batches_per_update(optimizer)
        self.batches = int(self._cell.read())
        self.is_complete = True
        self.skipped = 0

    def count(self) -> None:
        """Call once after each batch.

        Raises:
            ModelError: If so many batches have made no update although nothing scales the loss.
        """
        before, self.batches = self.batches, int(self._cell.read())
        if self.batches == before:
            self.skipped += 1
            if self.skipped == MAX_SKIPPED and not self._may_skip:
                raise ModelError(
                    "It is the rate of `model.optimizer` that is set, which must make the updates. Give the model "
                    "trainable weights, and let a `train_step` of your own use `self.optimizer`. "
                    f"Received: {MAX_SKIPPED} steps after which it had made none"
                )
            return
        self.skipped = 0
        self.is_complete = self.batches % self._batches_per_update == 0


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
