"""The curves of `lrdiag.rate.curves` as Keras schedules, computed inside the training step.

Unlike a callback, a schedule sets each step also with `steps_per_execution`, and is saved with the model.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from lrdiag.backend.engine import engine
from lrdiag.backend.optimizers import NumpySchedule
from lrdiag.errors import require_count
from lrdiag.policies.preview import Previewed
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


@keras.saving.register_keras_serializable(package="lrdiag")
class CurveSchedule(Previewed, NumpySchedule):
    """A schedule that follows a curve. It is computed in float64, as the curve is, and returned as float32.

    Example:
        >>> from lrdiag.rate.curves import CosineRestarts, Warmup
        >>> schedule = CurveSchedule(Warmup(CosineRestarts(0.4, first_decay_steps=1000), warmup_steps=100))
        >>> optimizer = keras.optimizers.SGD(schedule, momentum=0.9)

    Args:
        curve: The policy.
        gradient_accumulation_steps: The same as in the optimizer. Keras calls a schedule with the number of batches
            instead of updates, so without it a cycle would run that many times too fast.
        name: Name of the schedule.

    Raises:
        SettingsError: If `curve` isn't a curve, or `gradient_accumulation_steps` isn't a whole number >= 1.
    """

    def __init__(self, curve: Curve, gradient_accumulation_steps: int = 1, name: str | None = None) -> None:
        require_curve(curve)
        require_count("gradient_accumulation_steps", gradient_accumulation_steps)
        self.curve = curve
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.name = name or type(self).__name__

    def __repr__(self) -> str:
        steps = self.gradient_accumulation_steps
        accumulated = f", gradient_accumulation_steps={steps}" if steps > 1 else ""
        return f"{type(self).__name__}({self.curve}{accumulated})"

    def __call__(self, step: Any) -> Any:
        """Returns the rate at `step`, a float32 tensor."""
        if self.gradient_accumulation_steps > 1:
            step = ops.floor_divide(step, self.gradient_accumulation_steps)
        return engine().in_float64(self.curve, step)

    def at(self, step: int) -> float:
        """Returns the rate at `step`, bit-identical to the tensor and a hundred times faster.

        Example:
            >>> CyclicSchedule(base_lr=0.5, max_lr=1.0, step_size=4).at(1)
            0.625

        Args:
            step: Number of batches so far, as Keras counts them.
        """
        return float(np.float32(self.curve(step // self.gradient_accumulation_steps)))

    def _curve_over(self, steps_per_epoch: int | None, epochs: int | None) -> Curve:
        return self.curve

    def momentum(self, low: float, high: float) -> CurveSchedule:
        """Returns a schedule of the momentum that moves opposite to this rate, for `lrdiag.SGD`.

        Args:
            low: The momentum at the peak of the rate, usually 0.85.
            high: The momentum at the lowest rate, usually 0.95.

        Raises:
            SettingsError: If the curve has no cycle, or not 0 <= low < high < 1.
        """
        return CurveSchedule(CycledMomentum(self.curve, low, high), self.gradient_accumulation_steps)

    def get_config(self) -> dict[str, Any]:
        """Returns plain values from which `from_config` rebuilds this schedule."""
        return {"curve": self.curve.get_config(), **self._common_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CurveSchedule:
        """Makes a schedule from the return value of `get_config`."""
        return cls(**{**config, "curve": curve_from_config(config["curve"])})

    def _common_config(self) -> dict[str, Any]:
        return {"gradient_accumulation_steps": self.gradient_accumulation_steps, "name": self.name}


class _NamedSchedule(CurveSchedule):
    """A schedule with the arguments of its curve. Defaults and checks are those of the curve."""

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of this schedule."""
        config = {**self.curve.get_config(), **self._common_config()}
        del config["class_name"]
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CurveSchedule:
        """Makes a schedule from the return value of `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="lrdiag")
class CyclicSchedule(_NamedSchedule):
    """Cycles between two boundaries; see `lrdiag.rate.curves.Cyclic` for the formula.

    Example:
        >>> schedule = CyclicSchedule(base_lr=0.01, max_lr=0.4, step_size=200)
        >>> optimizer = keras.optimizers.SGD(schedule, momentum=0.9)

    Args:
        base_lr: The lower boundary.
        max_lr: The upper boundary.
        step_size: Number of steps in the rising half of a cycle: two to ten epochs, or half of a short training run.
        mode: How the cycles change: `"triangular"`, `"triangular2"`, `"exp_range"` or `"exp_range_boundaries"`.
        gamma: Decay per step in the modes `"exp_range…"`.
        step_size_down: Number of steps in the falling half. Defaults to `step_size`.
        gradient_accumulation_steps: See `CurveSchedule`.
        name: Name of the schedule.

    Raises:
        SettingsError: If an argument is outside its range.
    """

    def __init__(
        self,
        base_lr: float,
        max_lr: float,
        step_size: float,
        mode: CyclicMode = Cyclic.mode,
        gamma: float = Cyclic.gamma,
        step_size_down: float | None = Cyclic.step_size_down,
        gradient_accumulation_steps: int = 1,
        name: str | None = None,
    ) -> None:
        curve = Cyclic(base_lr, max_lr, step_size, mode, gamma, step_size_down)
        super().__init__(curve, gradient_accumulation_steps, name)


@keras.saving.register_keras_serializable(package="lrdiag")
class OneCycleSchedule(_NamedSchedule):
    """One cycle over the whole training run; see `lrdiag.rate.curves.OneCycle` for the formula.

    Example:
        >>> schedule = OneCycleSchedule(max_lr=0.4, total_steps=1000)
        >>> optimizer = keras.optimizers.SGD(schedule, momentum=0.9)

    Args:
        max_lr: The peak.
        total_steps: Number of steps in the training run.
        pct_start: Share of the steps in which the rate rises. Defaults to the convention's.
        div_factor: The peak divided by the first rate. Defaults to the convention's.
        final_div_factor: Determines the last rate. Defaults to the convention's.
        convention: `"fastai"` or `"pytorch"`.
        anneal: `"cos"` or `"linear"`.
        three_phase: Whether to fall back to the first rate before falling to the last.
        gradient_accumulation_steps: See `CurveSchedule`.
        name: Name of the schedule.

    Raises:
        SettingsError: If an argument is outside its range.
    """

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float | None = OneCycle.pct_start,
        div_factor: float | None = OneCycle.div_factor,
        final_div_factor: float | None = OneCycle.final_div_factor,
        convention: Convention = OneCycle.convention,
        anneal: Anneal = OneCycle.anneal,
        three_phase: bool = OneCycle.three_phase,
        gradient_accumulation_steps: int = 1,
        name: str | None = None,
    ) -> None:
        curve = OneCycle(max_lr, total_steps, pct_start, div_factor, final_div_factor, convention, anneal, three_phase)
        super().__init__(curve, gradient_accumulation_steps, name)


@keras.saving.register_keras_serializable(package="lrdiag")
class InverseTimeDecaySchedule(_NamedSchedule):
    """Decay by epoch; see `lrdiag.rate.curves.InverseTimeDecay` for the formula.

    Example:
        >>> schedule = InverseTimeDecaySchedule(initial_lr=0.01, steps_per_epoch=176)
        >>> optimizer = keras.optimizers.SGD(schedule, momentum=0.9)

    Args:
        initial_lr: The rate of the first epoch.
        steps_per_epoch: Number of steps in an epoch.
        decay: Factor of the epoch in the formula.
        gradient_accumulation_steps: See `CurveSchedule`.
        name: Name of the schedule.

    Raises:
        SettingsError: If an argument isn't positive.
    """

    def __init__(
        self,
        initial_lr: float,
        steps_per_epoch: int,
        decay: float = InverseTimeDecay.decay,
        gradient_accumulation_steps: int = 1,
        name: str | None = None,
    ) -> None:
        super().__init__(InverseTimeDecay(initial_lr, steps_per_epoch, decay), gradient_accumulation_steps, name)
