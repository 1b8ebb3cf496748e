"""What Keras hides of a single step: the batch's own loss, its update, and whether its rate can be set at all."""

from __future__ import annotations

import keras

from lrdiag.backend.scalar import Cell
from lrdiag.errors import ModelError, SettingsError
from lrdiag.policies.schedules import CurveSchedule

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


def schedule_of(optimizer: keras.Optimizer) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """Returns the learning-rate schedule of an optimizer, or `None` if its rate is a number.

    `optimizer.learning_rate` gives only the schedule's current value, and `get_config` fails for a schedule without a
    config of its own, so the private attribute is read.
    """
    held = getattr(optimizer, "_learning_rate", None)
    return held if isinstance(held, keras.optimizers.schedules.LearningRateSchedule) else None


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
