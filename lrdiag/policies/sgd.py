"""Stochastic gradient descent whose momentum can really be changed during a training."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from lrdiag.errors import SettingsError
from lrdiag.rate.curves import Curve, is_number


@keras.saving.register_keras_serializable(package="lrdiag")
class SGD(keras.optimizers.SGD):  # type: ignore[misc]
    """Keras's SGD with a momentum that is read at every update.

    Keras writes the momentum into the compiled training step as a number: assigning `optimizer.momentum` afterwards
    changes nothing. Here it is a variable of the optimizer, saved with it, or a schedule. At a constant momentum both
    classes train alike, bit for bit.

    Example:
        >>> from lrdiag.policies.schedules import OneCycleSchedule
        >>> rate = OneCycleSchedule(max_lr=0.4, total_steps=1000)
        >>> optimizer = SGD(rate, momentum=rate.momentum(0.85, 0.95), nesterov=True)
        >>> print(f"{float(optimizer.momentum):.2f}")  # of the first update
        0.95

    Args:
        learning_rate: See `keras.optimizers.SGD`, as everything that is not explained here.
        momentum: A number in [0, 1], which may be assigned later, or a schedule, such as `CurveSchedule.momentum`
            returns.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: See `keras.optimizers.SGD`.
        clipnorm: See `keras.optimizers.SGD`.
        clipvalue: See `keras.optimizers.SGD`.
        global_clipnorm: See `keras.optimizers.SGD`.
        use_ema: See `keras.optimizers.SGD`.
        ema_momentum: See `keras.optimizers.SGD`.
        ema_overwrite_frequency: See `keras.optimizers.SGD`.
        loss_scale_factor: See `keras.optimizers.SGD`.
        gradient_accumulation_steps: See `keras.optimizers.SGD`; schedules must be told the same number.
        name: See `keras.optimizers.SGD`.

    Raises:
        SettingsError: If rate or momentum is neither a number nor a schedule, the momentum is outside [0, 1], or a
            schedule was told another `gradient_accumulation_steps`.
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
        # past Keras's own SGD, which would keep the momentum as a number
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
    def momentum(self) -> Any:
        """The momentum of the next update: a variable, or a tensor where a schedule gives it."""
        if isinstance(self._momentum, LearningRateSchedule):
            return self._momentum(self._iterations)
        return self._momentum

    @momentum.setter
    def momentum(self, momentum: float) -> None:
        if isinstance(self._momentum, LearningRateSchedule):
            raise SettingsError(
                "The momentum is a schedule, so it cannot be assigned. Make the optimizer with a number such as 0.9. "
                f"Received: momentum={momentum}"
            )
        if not (is_number(momentum) and 0 <= momentum <= 1):
            raise SettingsError(f"Argument `momentum` must be a number in [0, 1]. Received: momentum={momentum!r}")
        self._momentum.assign(momentum)

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes a velocity for each variable, also where the momentum is 0 now."""
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable: `v = momentum * v - rate * g`; `w += v`, or Nesterov's `momentum * v - rate * g`.

        Source: `keras.optimizers.SGD`, in its order of operations; after Sutskever et al., "On the importance of
        initialization and momentum in deep learning" (2013), section 2.
        """
        momentum = ops.cast(self.momentum, variable.dtype)
        step = ops.multiply(ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype))
        velocity = self.momentums[self._get_variable_index(variable)]
        self.assign(velocity, ops.subtract(ops.multiply(velocity, momentum), step))
        if self.nesterov:
            self.assign_add(variable, ops.subtract(ops.multiply(velocity, momentum), step))
        else:
            self.assign_add(variable, velocity)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer again."""
        scheduled = isinstance(self._momentum, LearningRateSchedule)
        momentum = keras.saving.serialize_keras_object(self._momentum) if scheduled else float(self._momentum)
        base = keras.optimizers.Optimizer.get_config(self)
        return {**base, "momentum": momentum, "nesterov": self.nesterov}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> SGD:
        """Makes the optimizer of what `get_config` returned."""
        momentum = config["momentum"]
        if isinstance(momentum, dict):
            momentum = keras.saving.deserialize_keras_object(momentum, custom_objects=custom_objects)
        made: SGD = super().from_config({**config, "momentum": momentum}, custom_objects)
        return made


def _require_no_curve(**values: Any) -> None:
    for name, value in values.items():
        if isinstance(value, Curve):
            raise SettingsError(
                f"Argument `{name}` must be a number or a schedule. Make a schedule of the curve, "
                "`rate = lrdiag.CurveSchedule(curve)`; the momentum against it is `rate.momentum(0.85, 0.95)`. "
                f"Received: {name}={value}"
            )


def _require_same_accumulation(schedule: Any, steps: int) -> None:
    """Refuses a schedule of lrdiag that counts other updates than the optimizer makes."""
    told = getattr(schedule, "gradient_accumulation_steps", steps)
    if told != steps:
        raise SettingsError(
            "Keras shows schedules every batch, not every update, so give the schedule the same "
            f"`gradient_accumulation_steps` as the optimizer. Received: {told} for the schedule, {steps} for the "
            "optimizer"
        )
