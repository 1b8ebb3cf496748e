"""Learning rate, momentum and updates of an optimizer."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule

from lrdiag.backend.engine import engine
from lrdiag.errors import ModelError, SettingsError

# Consecutive batches without an update. Loss scaling needs about 15: for float16 it starts at 2**15 and is halved each
# time.
MAX_SKIPPED = 20


class NumpySchedule(LearningRateSchedule):  # type: ignore[misc]
    """A schedule whose values can also be computed without the engine, in a hundredth of the time."""

    @abstractmethod
    def at(self, step: int) -> float:
        """Returns the value at `step`, bit-identical to the tensor that calling the schedule returns.

        Args:
            step: Number of batches so far, as Keras counts them.
        """


def unscaled(optimizer: keras.Optimizer) -> keras.Optimizer:
    """Returns the optimizer inside a `LossScaleOptimizer`, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def inner_optimizers(optimizer: keras.Optimizer) -> list[keras.Optimizer]:
    """Returns the optimizers that make the updates: those inside a loss-scaling or a multi-optimizer, or itself.

    A `MultiOptimizer` with a function as its map has none before `build_multi_optimizer`.
    """
    optimizer = unscaled(optimizer)
    return list(getattr(optimizer, "optimizers", None) or [optimizer])


def build_multi_optimizer(model: keras.Model) -> None:
    """Builds a `MultiOptimizer` before the first step, so that its optimizers are known."""
    optimizer = unscaled(model.optimizer)
    if hasattr(optimizer, "optimizers") and model.built:
        optimizer.build(model.trainable_variables)


def held_rate(optimizer: keras.Optimizer) -> Any:
    """Returns the learning rate as the optimizer stores it: a variable, a schedule, or a function.

    `optimizer.learning_rate` returns only the current value of a schedule or function, so the private attribute is
    read. Its setter is public.
    """
    return optimizer._learning_rate


def schedule_of(optimizer: keras.Optimizer) -> LearningRateSchedule | None:
    """Returns the learning-rate schedule of an optimizer, or `None` if it has none."""
    held = held_rate(optimizer)
    return held if isinstance(held, LearningRateSchedule) else None


class ReplacedRate(LearningRateSchedule):  # type: ignore[misc]
    """A variable in place of the schedule or function that an optimizer holds as its learning rate.

    While it is in place, the variable is one of the optimizer's. JAX passes only those to the compiled training step;
    all other variables are constants in it.

    Example:
        >>> optimizer = keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.5, 10))
        >>> replaced = ReplacedRate(optimizer, 0.25)
        >>> float(optimizer.learning_rate), len(optimizer.variables)
        (0.25, 2)
        >>> replaced.restore()
        >>> float(optimizer.learning_rate), len(optimizer.variables)
        (0.5, 1)

    Attributes:
        variable: The variable.

    Args:
        optimizer: One of `inner_optimizers`. The state of a training step must have been written back to it.
        rate: The value of the variable.
    """

    def __init__(self, optimizer: keras.Optimizer, rate: float) -> None:
        self._optimizer, self._before = optimizer, held_rate(optimizer)
        constant = keras.initializers.Constant(rate)
        self.variable = optimizer.add_variable((), constant, aggregation="only_first_replica", name="learning_rate")
        optimizer.learning_rate = self

    def __call__(self, step: Any) -> Any:
        """Returns the value of the variable."""
        return keras.ops.convert_to_tensor(self.variable)

    def restore(self) -> None:
        """Restores the schedule or function. Does nothing if it is already restored."""
        if held_rate(self._optimizer) is self:
            self._optimizer.learning_rate = self._before
            self._optimizer._untrack_variable(self.variable)  # as Keras does when a schedule replaces a number


def batch_counter(optimizer: keras.Optimizer) -> keras.Variable:
    """Returns the variable that counts the batches of an optimizer, and that schedules are called with.

    `optimizer.iterations` counts updates under gradient accumulation, so the variable is looked up by its name.
    """
    return next(each for each in unscaled(optimizer).variables if each.name == "iteration")


def slot_of(optimizer: keras.Optimizer, variable: Any, slots: list[keras.Variable]) -> keras.Variable:
    """Returns the one of `slots` that belongs to a trainable variable.

    Keras's own optimizers find it by this private method in `update_step`, because there is no public one.

    Args:
        optimizer: A built optimizer.
        variable: One of its trainable variables.
        slots: One variable for each trainable variable, as `add_optimizer_variables` returns them.
    """
    return slots[optimizer._get_variable_index(variable)]


class HyperParameters:
    """Reads the learning rate and the momentum of an optimizer's next update, between steps or inside one.

    Args:
        optimizer: One of `inner_optimizers`.
        model: The model that it trains.
    """

    def __init__(self, optimizer: keras.Optimizer, model: keras.Model) -> None:
        self._optimizer, self._model = optimizer, model
        self._batches = engine().number(batch_counter(optimizer), model)

    def learning_rate(self) -> float:
        """Returns the learning rate."""
        value = self._value_of(held_rate(self._optimizer))
        if value is None:
            engine().synchronize(self._model)  # a schedule reads the number of batches
            return float(self._optimizer.learning_rate)
        return value

    def momentum(self) -> float | None:
        """Returns the momentum, or `None` if the optimizer has no attribute of that name."""
        value = self._value_of(getattr(self._optimizer, "held_momentum", None))  # of `lrdiag.SGD`
        if value is not None:
            return value
        momentum = getattr(self._optimizer, "momentum", None)
        return None if momentum is None else float(momentum)

    def values(self) -> list[float]:
        """Returns the learning rate, and the momentum if there is one."""
        return [value for value in (self.learning_rate(), self.momentum()) if value is not None]

    def tensors(self) -> list[Any]:
        """Returns the same as tensors, or as numbers if they are constant.

        Call it inside a function that is being compiled, which then computes them as the training step does.
        """
        momentum = getattr(self._optimizer, "momentum", None)
        return [self._optimizer.learning_rate, *([] if momentum is None else [momentum])]

    def _value_of(self, held: Any) -> float | None:
        """Returns the value of a variable or schedule without the engine's eager operations, or `None`."""
        if isinstance(held, NumpySchedule):
            return held.at(int(self._batches.read()))
        if isinstance(held, keras.Variable):
            return float(engine().number(held, self._model).read())
        return None


def is_adaptive(optimizer: keras.Optimizer) -> bool:
    """Returns whether an optimizer scales its updates by past gradients. True for every optimizer except SGD."""
    return not all(isinstance(each, keras.optimizers.SGD) for each in inner_optimizers(optimizer))


def batches_per_update(optimizer: keras.Optimizer) -> int:
    """Returns `gradient_accumulation_steps`: the number of batches in an update.

    Raises:
        SettingsError: If several optimizers have different numbers.
    """
    accumulated = {each.gradient_accumulation_steps or 1 for each in inner_optimizers(optimizer)}
    if len(accumulated) > 1:
        raise SettingsError(
            "All optimizers of a `MultiOptimizer` must have the same `gradient_accumulation_steps`. "
            f"Received: {', '.join(map(str, sorted(accumulated)))}"
        )
    return accumulated.pop()


def require_single_steps(model: keras.Model, caller: str) -> None:
    """Raises if the model runs several steps in one execution, because Keras then calls no callback between them.

    Raises:
        SettingsError: If `steps_per_execution` isn't 1.
    """
    if model.steps_per_execution != 1:
        raise SettingsError(
            f"{caller} runs after each step. Compile the model with `steps_per_execution=1`. "
            f"Received: steps_per_execution={model.steps_per_execution}"
        )


def require_settable_rate(model: keras.Model, caller: str) -> None:
    """Raises unless the learning rate of each step can be set by a callback.

    Raises:
        SettingsError: If the rate is a schedule or a function, or `steps_per_execution` isn't 1.
    """
    require_single_steps(model, caller)
    for optimizer in inner_optimizers(model.optimizer):
        held = held_rate(optimizer)
        if not isinstance(held, keras.Variable):
            raise SettingsError(
                f"{caller} sets the learning rate of each step, so the optimizer's learning rate must be a number. "
                f"Compile the model with a number such as 0.01. Received: {type(held).__name__}"
            )


class UpdateCounter:
    """Counts the batches of an optimizer, and determines which of them complete an update.

    Attributes:
        batches: Number of batches when they were last counted. `iterations` counts updates instead.
        is_complete: Whether the last batch completed an update. With gradient accumulation most batches don't.
        skipped: Number of consecutive last batches without an update. Loss scaling skips a batch with NaN or infinite
            gradients.

    Args:
        optimizer: A built optimizer.
        model: The model that it trains.

    Raises:
        SettingsError: If several optimizers have different `gradient_accumulation_steps`.
    """

    def __init__(self, optimizer: keras.Optimizer, model: keras.Model) -> None:
        self._may_skip = hasattr(optimizer, "inner_optimizer")
        self._counter = engine().number(batch_counter(optimizer), model)
        self._batches_per_update = batches_per_update(optimizer)
        self.batches = int(self._counter.read())
        self.is_complete = True
        self.skipped = 0

    def count(self) -> None:
        """Counts one batch. Call it once after each batch.

        Raises:
            ModelError: If the last 20 batches made no update, although the loss isn't scaled.
        """
        before, self.batches = self.batches, int(self._counter.read())
        if self.batches == before:
            self.skipped += 1
            if self.skipped == MAX_SKIPPED and not self._may_skip:
                raise ModelError(
                    "`model.optimizer` must make the updates, because its learning rate is the one that is set. Give "
                    "the model trainable weights, and use `self.optimizer` in a custom `train_step`. "
                    f"Received: {MAX_SKIPPED} steps without an update"
                )
            return
        self.skipped = 0
        self.is_complete = self.batches % self._batches_per_update == 0
