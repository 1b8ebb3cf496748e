"""The curves of `lrdiag.rate.curves` as Keras schedules and as a Keras callback."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import keras

from lrdiag.rate.curves import Curve, InverseTimeDecay, OneCycle, Triangular
from lrdiag.rate.steps import require_settable_rate


class _CurveSchedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule whose arguments and formula are those of its curve."""

    curve_class: ClassVar[type]

    def __init__(self, name: str | None = None, **curve_arguments: float) -> None:
        self.curve = self.curve_class(**curve_arguments)
        self.name = name or type(self).__name__

    def __call__(self, step: Any) -> Any:
        """The rate at `step`, a scalar tensor."""
        return self.curve(keras.ops.cast(step, "float32"), keras.ops)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this schedule again."""
        return {**dataclasses.asdict(self.curve), "name": self.name}


@keras.saving.register_keras_serializable(package="lrdiag")
class CyclicSchedule(_CurveSchedule):
    """A rate that cycles between two boundaries; see `lrdiag.rate.curves.Triangular` for the formula.

    Example:
        >>> schedule = CyclicSchedule(base_lr=0.01, max_lr=0.4, step_size=200)
        >>> optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
    """

    curve_class = Triangular


@keras.saving.register_keras_serializable(package="lrdiag")
class OneCycleSchedule(_CurveSchedule):
    """One rise and one long fall over the whole of training; see `lrdiag.rate.curves.OneCycle` for the formula.

    Example:
        >>> schedule = OneCycleSchedule(max_lr=0.4, total_steps=1000)
        >>> optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
    """

    curve_class = OneCycle


@keras.saving.register_keras_serializable(package="lrdiag")
class InverseTimeDecaySchedule(_CurveSchedule):
    """The article's decay by epoch; see `lrdiag.rate.curves.InverseTimeDecay` for the formula.

    Example:
        >>> schedule = InverseTimeDecaySchedule(initial_lr=0.01, steps_per_epoch=176)
        >>> optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
    """

    curve_class = InverseTimeDecay


class CyclicLR(keras.callbacks.Callback):  # type: ignore[misc]
    """Cycles the optimizer's learning rate between two boundaries, step by step.

    The callback form of `CyclicSchedule`, for a model that is already compiled with a plain number as its rate. It
    counts the optimizer's own updates, so a training that goes on, goes on in mid-cycle.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.01), loss="mse")
        >>> cyclic = CyclicLR(base_lr=0.01, max_lr=0.1, step_size=4)
        >>> x, y = keras.ops.ones((16, 2)), keras.ops.ones((16, 1))
        >>> history = model.fit(x, y, batch_size=2, verbose=0, callbacks=[cyclic])
        >>> round(float(model.optimizer.learning_rate), 4)  # the last step of eight, one before the base
        0.0325

    Args:
        base_lr: The lower boundary.
        max_lr: The upper boundary.
        step_size: Steps in half a cycle; two to ten epochs are customary, or half of a short training.
    """

    def __init__(self, base_lr: float, max_lr: float, step_size: float) -> None:
        super().__init__()
        self.curve: Curve = Triangular(base_lr, max_lr, step_size)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Refuses an optimizer whose rate is not a number that could be set."""
        require_settable_rate(self.model, "CyclicLR")

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Sets the rate of the update that comes next."""
        step = int(self.model.optimizer.iterations)
        self.model.optimizer.learning_rate = float(self.curve(step))
