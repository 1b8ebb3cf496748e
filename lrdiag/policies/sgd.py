"""Stochastic gradient descent with a momentum that can change during training."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from lrdiag.backend.optimizers import batch_counter, slot_of
from lrdiag.errors import SettingsError
from lrdiag.rate.curves import Curve, is_number


@keras.saving.register_keras_serializable(package="lrdiag")
class SGD(keras.optimizers.SGD):  # type: ignore[misc]
    """Keras's SGD with a momentum that is read at each update.

    In Keras's SGD the momentum is a constant in the compiled training step: assigning `optimizer.momentum` later has no
    effect. Here it is a variable, saved with the optimizer, or a schedule. With a constant momentum both classes give
    bit-identical weights.

    Example:
        >>> from lrdiag.policies.schedules import OneCycleSchedule
        >>> rate = OneCycleSchedule(max_lr=0.4, total_steps=1000)
        >>> optimizer = SGD(rate, momentum=rate.momentum(0.85, 0.95), nesterov=True)
        >>> print(f"{float(optimizer.momentum):.2f}")  # of the first update
        0.95

    Args:
        learning_rate: A number, or a schedule.
        momentum: A number in [0, 1] that can be assigned later, or a schedule, such as `CurveSchedule.momentum`
            returns.
        nesterov: Whether to use Nesterov momentum.
        weight_decay: See `keras.optimizers.SGD`.
        clipnorm: See `keras.optimizers.SGD`.
        clipvalue: See `keras.optimizers.SGD`.
        global_clipnorm: See `keras.optimizers.SGD`.
        use_ema: See `keras.optimizers.SGD`.
        ema_momentum: See `keras.optimizers.SGD`.
        ema_overwrite_frequency: See `keras.optimizers.SGD`.
        loss_scale_factor: See `keras.optimizers.SGD`.
        gradient_accumulation_steps: See `keras.optimizers.SGD`. Schedules of lrdiag must have the same value.
        name: See `keras.optimizers.SGD`.

    Raises:
        SettingsError: If rate or momentum is a curve instead of a schedule, if the momentum is outside [0, 1], or if a
            schedule has another `gradient_accumulation_steps`.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float | LearningRateSchedule = 0.9,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        _require_no_curve(learning_rate=learning_rate, momentum=momentum)
        # not `super().__init__`, which would store the momentum as a number
        keras.optimizers.Optimizer.__init__(
            self,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
        )
        self.nesterov = nesterov
        for schedule in (learning_rate, momentum):
            _require_same_accumulation(schedule, gradient_accumulation_steps or 1)
        if isinstance(momentum, LearningRateSchedule):
            self._momentum: Any = momentum
        else:
            self._momentum = self.add_variable((), "zeros", aggregation="only_first_replica", name="current_momentum")
            self.momentum = momentum

    @property
    def held_momentum(self) -> keras.Variable | LearningRateSchedule:
        """The variable or the schedule of the momentum."""
        return self._momentum

    @property
    def momentum(self) -> Any:
        """The momentum of the next update: a variable, or a tensor if it is a schedule."""
        if isinstance(self._momentum, LearningRateSchedule):
            return self._momentum(batch_counter(self))
        return self._momentum

    @momentum.setter
    def momentum(self, momentum: float) -> None:
        if isinstance(self._momentum, LearningRateSchedule):
            raise SettingsError(
                "The momentum is a schedule, so it can't be assigned. Create the optimizer with a number such as 0.9. "
                f"Received: momentum={momentum}"
            )
        if not (is_number(momentum) and 0 <= momentum <= 1):
            raise SettingsError(f"Argument `momentum` must be a number in [0, 1]. Received: momentum={momentum!r}")
        self._momentum.assign(momentum)

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates a velocity for each variable, even if the momentum is currently 0."""
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable: `v = momentum * v - rate * g`; `w += v`, or Nesterov's `momentum * v - rate * g`.

        Source: `keras.optimizers.SGD`, with the same order of operations; Sutskever et al., "On the importance of
        initialization and momentum in deep learning" (2013), section 2.
        """
        momentum = ops.cast(self.momentum, variable.dtype)
        step = ops.multiply(ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype))
        velocity = slot_of(self, variable, self.momentums)
        self.assign(velocity, ops.subtract(ops.multiply(velocity, momentum), step))
        if self.nesterov:
            self.assign_add(variable, ops.subtract(ops.multiply(velocity, momentum), step))
        else:
            self.assign_add(variable, velocity)

    def __repr__(self) -> str:
        config, rate, momentum = self.get_config(), self._learning_rate, self._momentum
        shown = [
            each if isinstance(each, LearningRateSchedule) else f"{config[name]:.6g}"
            for name, each in (("learning_rate", rate), ("momentum", momentum))
        ]
        return f"SGD(learning_rate={shown[0]}, momentum={shown[1]}, nesterov={self.nesterov})"

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of this optimizer."""
        scheduled = isinstance(self._momentum, LearningRateSchedule)
        momentum = (
            keras.saving.serialize_keras_object(self._momentum)
            if scheduled
            else float(keras.ops.convert_to_numpy(self._momentum))
        )
        base = keras.optimizers.Optimizer.get_config(self)
        return {**base, "momentum": momentum, "nesterov": self.nesterov}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> SGD:
        """Makes an optimizer from the return value of `get_config`."""
        momentum = config["momentum"]
        if isinstance(momentum, dict):
            momentum = keras.saving.deserialize_keras_object(momentum, custom_objects=custom_objects)
        made: SGD = super().from_config({**config, "momentum": momentum}, custom_objects)
        return made


def _require_no_curve(**values: Any) -> None:
    for name, value in values.items():
        if isinstance(value, Curve):
            raise SettingsError(
                f"Argument `{name}` must be a number or a schedule. Make a schedule from the curve with "
                "`rate = lrdiag.CurveSchedule(curve)`, and its momentum with `rate.momentum(0.85, 0.95)`. "
                f"Received: {name}={value}"
            )


def _require_same_accumulation(schedule: Any, steps: int) -> None:
    """Raises if a schedule of lrdiag counts other updates than the optimizer."""
    counted = getattr(schedule, "gradient_accumulation_steps", steps)
    if counted != steps:
        raise SettingsError(
            "The schedule must have the same `gradient_accumulation_steps` as the optimizer, because Keras calls it "
            f"with the number of batches. Received: {counted} in the schedule, {steps} in the optimizer"
        )
