"""The curves of `lrdiag.rate.curves` as Keras schedules, computed inside the training step.

A schedule is exact where a callback cannot be, under `steps_per_execution`, and is saved with the model.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from lrdiag.errors import require_count
from lrdiag.rate.curves import (
    Anneal,
    Convention,
    Curve,
    CycledMomentum,
    Cyclic,
    CyclicMode,
    InverseTimeDecay,
    OneCycle,
    curve_from_config,
    require_curve,
)
from lrdiag.rate.preview import Previewed


@keras.saving.register_keras_serializable(package="lrdiag")
class CurveSchedule(Previewed, keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Any curve as a schedule: computed in float64, as the curve is, and rounded to the float32 that Keras takes.

    Example:
        >>> from lrdiag.rate.curves import CosineRestarts, Warmup
        >>> schedule = CurveSchedule(Warmup(CosineRestarts(0.4, first_decay_steps=1000), warmup_steps=100))
        >>> optimizer = keras.optimizers.SGD(schedule, momentum=0.9)

    Args:
        curve: The policy.
        gradient_accumulation_steps: The same as the optimizer's. Keras calls schedules with the number of batches, not
            of updates; without it a cycle would run that many times too fast.
        name: A name for the schedule.
    """

    def __init__(self, curve: Curve, gradient_accumulation_steps: int = 1, name: str | None = None) -> None:
        require_curve(curve)
        require_count("gradient_accumulation_steps", gradient_accumulation_steps)
        self.curve = curve
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.name = name or type(self).__name__

    def __call__(self, step: Any) -> Any:
        """The rate at `step`, a tensor."""
        if self.gradient_accumulation_steps > 1:
            step = ops.floor_divide(step, self.gradient_accumulation_steps)
        return ops.cast(self.curve(ops.cast(step, "float64"), ops), "float32")

    def at(self, step: int) -> float:
        """The rate at `step`, the same to the bit, but without TensorFlow, which takes a hundred times as long.

        Example:
            >>> CyclicSchedule(base_lr=0.5, max_lr=1.0, step_size=4).at(1)
            0.625

        Args:
            step: Batches made so far, as Keras counts them.
        """
        return float(np.float32(self.curve(step // self.gradient_accumulation_steps)))

    def momentum(self, low: float, high: float) -> CurveSchedule:
        """The momentum that runs against this rate, for `lrdiag.SGD`.

        Args:
            low: The momentum at the peak of the rate; 0.85 is customary.
            high: The momentum where the rate is lowest; 0.95 is customary.
        """
        return CurveSchedule(CycledMomentum(self.curve, low, high), self.gradient_accumulation_steps)

    def get_config(self) -> dict[str, Any]:
        """Plain values that make this schedule again."""
        return {"curve": self.curve.get_config(), **self._common_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CurveSchedule:
        """Makes the schedule of what `get_config` returned."""
        return cls(**{**config, "curve": curve_from_config(config["curve"])})

    def _common_config(self) -> dict[str, Any]:
        return {"gradient_accumulation_steps": self.gradient_accumulation_steps, "name": self.name}

    def _previewed(self) -> Curve:
        return self.curve


class _NamedSchedule(CurveSchedule):
    """A schedule that takes the arguments of its curve."""

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this schedule again."""
        config = {**self.curve.get_config(), **self._common_config()}
        del config["class_name"]
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CurveSchedule:
        """Makes the schedule of what `get_config` returned."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="lrdiag")
class CyclicSchedule(_NamedSchedule):
    """A rate that cycles between two boundaries; see `lrdiag.rate.curves.Cyclic` for the formula.

    Example:
        >>> schedule = CyclicSchedule(base_lr=0.01, max_lr=0.4, step_size=200)
        >>> optimizer = keras.optimizers.SGD(schedule, momentum=0.9)

    Args:
        base_lr: The lower boundary.
        max_lr: The upper boundary.
        step_size: Steps in the rising half of a cycle; two to ten epochs are customary, or half of a short training.
        mode: How the cycles change: `"triangular"`, `"triangular2"`, `"exp_range"` or `"exp_range_boundaries"`.
        gamma: The decay of each step in the modes `"exp_range…"`.
        step_size_down: Steps in the falling half; `None` takes `step_size`.
        gradient_accumulation_steps: See `CurveSchedule`.
        name: A name for the schedule.
    """

    def __init__(
        self,
        base_lr: float,
        max_lr: float,
        step_size: float,
        mode: CyclicMode = "triangular",
        gamma: float = 1.0,
        step_size_down: float | None = None,
        gradient_accumulation_steps: int = 1,
        name: str | None = None,
    ) -> None:
        curve = Cyclic(base_lr, max_lr, step_size, mode, gamma, step_size_down)
        super().__init__(curve, gradient_accumulation_steps, name)


@keras.saving.register_keras_serializable(package="lrdiag")
class OneCycleSchedule(_NamedSchedule):
    """One rise and one long fall over the whole of training; see `lrdiag.rate.curves.OneCycle` for the formula.

    Example:
        >>> schedule = OneCycleSchedule(max_lr=0.4, total_steps=1000)
        >>> optimizer = keras.optimizers.SGD(schedule, momentum=0.9)

    Args:
        max_lr: The peak.
        total_steps: Steps in the whole of training.
        pct_start: Which share of the steps rises; `None` takes the convention's.
        div_factor: Determines the first rate; `None` takes the convention's.
        final_div_factor: Determines the last rate; `None` takes the convention's.
        convention: `"fastai"` or `"pytorch"`.
        anneal: `"cos"` or `"linear"`.
        three_phase: Fall back to the first rate, then on to the last.
        gradient_accumulation_steps: See `CurveSchedule`.
        name: A name for the schedule.
    """

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float | None = None,
        div_factor: float | None = None,
        final_div_factor: float | None = None,
        convention: Convention = "fastai",
        anneal: Anneal = "cos",
        three_phase: bool = False,
        gradient_accumulation_steps: int = 1,
        name: str | None = None,
    ) -> None:
        curve = OneCycle(max_lr, total_steps, pct_start, div_factor, final_div_factor, convention, anneal, three_phase)
        super().__init__(curve, gradient_accumulation_steps, name)


@keras.saving.register_keras_serializable(package="lrdiag")
class InverseTimeDecaySchedule(_NamedSchedule):
    """The article's decay by epoch; see `lrdiag.rate.curves.InverseTimeDecay` for the formula.

    Example:
        >>> schedule = InverseTimeDecaySchedule(initial_lr=0.01, steps_per_epoch=176)
        >>> optimizer = keras.optimizers.SGD(schedule, momentum=0.9)

    Args:
        initial_lr: The rate of the first epoch.
        steps_per_epoch: Steps in one epoch.
        decay: How fast the rate falls.
        gradient_accumulation_steps: See `CurveSchedule`.
        name: A name for the schedule.
    """

    def __init__(
        self,
        initial_lr: float,
        steps_per_epoch: int,
        decay: float = 0.1,
        gradient_accumulation_steps: int = 1,
        name: str | None = None,
    ) -> None:
        super().__init__(InverseTimeDecay(initial_lr, steps_per_epoch, decay), gradient_accumulation_steps, name)
